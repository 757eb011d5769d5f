"""arenaut.planner"""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.planner, not as top-level 'planner'")
