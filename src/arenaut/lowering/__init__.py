"""Lowering: an ir.Graph becomes steps that call kernel rows on places in memory, then a native program."""
