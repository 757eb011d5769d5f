"""Compiled files: a model made ready to run, as plain tables and mapped weights."""
