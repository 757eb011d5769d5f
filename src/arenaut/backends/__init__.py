"""Backends of the interpreted executor: each may run a step, or pass it on."""
