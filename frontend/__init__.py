"""From ModelProto to ir.Graph and back (arenaut.frontend.export): the only room that knows protobuf."""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.frontend, not as top-level 'frontend'")

from arenaut.frontend.importer import ImportedModel, ModelInfo, import_model
from arenaut.frontend.revision import AS_STORED, Revision

__all__ = ["AS_STORED", "ImportedModel", "ModelInfo", "Revision", "import_model"]
