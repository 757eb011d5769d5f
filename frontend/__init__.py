"""arenaut.frontend"""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.frontend, not as top-level 'frontend'")
