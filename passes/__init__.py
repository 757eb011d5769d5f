"""arenaut.passes"""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.passes, not as top-level 'passes'")
