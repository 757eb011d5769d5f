"""Whole tables through a model: rows to feeds, results to columns, files in parts that a restart need not repeat."""
