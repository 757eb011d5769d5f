"""Executors: the compiled one runs a program in one native call, the interpreted one steps through it."""
