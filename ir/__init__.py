"""arenaut.ir"""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.ir, not as top-level 'ir'")
