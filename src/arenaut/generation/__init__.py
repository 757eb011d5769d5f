"""Sequences from decoders: what their inputs mean, their caches, and how the next token is chosen."""

from arenaut.generation.loop import generate

__all__ = ["generate"]
