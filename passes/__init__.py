"""Graph rewrites: one file a pass, one literal pipeline."""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.passes, not as top-level 'passes'")

from arenaut.passes.pipeline import DEFAULT_PIPELINE, run_pipeline

__all__ = ["DEFAULT_PIPELINE", "run_pipeline"]
