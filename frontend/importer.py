"""ModelProto to ir.Graph, in three phases: inputs and initialisers, nodes, outputs.

Every op in the graph means what the newest opset says; default attributes are written out; functions of the model are
inlined; types are inferred. What inference finds is trusted over the shapes that a file declares for its intermediate
values and outputs: those are often stale, and are only used where inference finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from arenaut.frontend.blobs import ExternalFiles
from arenaut.frontend.functions import function_key
from arenaut.frontend.handlers import handler_of
from arenaut.frontend.nodes import import_nodes
from arenaut.frontend.revision import AS_STORED, Revision
from arenaut.frontend.scope import ModelContext, Scope
from arenaut.frontend.source import Source, open_source, resolved
from arenaut.frontend.structure import initializers_of, normal_domain, ordered
from arenaut.frontend.survey import check_supported
from arenaut.frontend.typeproto import stored_type
from arenaut.frontend.weights import Weights
from arenaut.ir import Graph, Type, Value
from arenaut.ir.attribute_values import shown_text
from arenaut.ir.errors import InvalidModelError
from arenaut.plain import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """What a file says about itself. opsets: versions by domain ("" is ai.onnx). metadata: its custom properties.
    shapes: of inputs and outputs by name, as the file states them, None for a dim or shape that it leaves open."""

    graph: str
    producer: str
    producer_version: str
    domain: str
    version: int
    doc: str
    graph_doc: str
    ir_version: int
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int | str | None, ...] | None]


@dataclass(frozen=True)
class ImportedModel:
    """A model as the rest of arenaut sees it.

    input_names, output_names  the names of the file, in order; a value of the graph may be called otherwise, where
                               one value is two outputs or an output is an input.
    defaults                   inputs of the file that an initialiser gives a value, and their types: constants here.
    info                       what the file says about itself.
    mapped                     address and bytes of every file that weights are views of.
    external                   files that its tensors name: how, and their paths.
    again                      imports the same model once more: an equal graph of its own, also when the files were
                               moved since, with these defaults as inputs (None: the same as here). A ModelProto must
                               not have been changed.
    """

    graph: Graph
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    defaults: tuple[tuple[str, Type | None], ...]
    info: ModelInfo
    mapped: Sequence[tuple[int, int]] = ()
    external: Sequence[tuple[str, str]] = ()
    again: Callable[[Collection[str] | None], ImportedModel] | None = None


def import_model(
    source: Any,
    *,
    keep_inputs: Collection[str] = (),
    external_data_folder: str | None = None,
    revision: Revision = AS_STORED,
    held: ExternalFiles | None = None,
) -> ImportedModel:
    """Reads a model.

    source                a path, the bytes of a file, or a ModelProto.
    keep_inputs           a graph input that has an initialiser is a constant, unless named here: then it stays an
                          input that every run must be given.
    external_data_folder  where external tensor data lies, when source is no path.
    revision              sizes and weights that take the place of those of the file.
    held                  stands for the files of external tensor data (`HeldFiles`).

    Raises InvalidModelError, UnsupportedError (which lists all ops that are not supported), ShapeError or
    ExternalDataError. Weights are views of the file or of the given bytes where their alignment allows: the file must
    not be truncated while the model lives.
    """
    with open_source(resolved(source), external_data_folder, held) as opened:
        try:
            return _import(opened, keep_inputs, revision)
        except RecursionError:
            raise InvalidModelError(f"{opened.label} nests graphs or functions too deeply to be read") from None


def _import(source: Source, keep_inputs: Collection[str], revision: Revision) -> ImportedModel:
    model = source.model
    opsets = _opsets(source)
    check_supported(model, opsets)
    functions = {function_key(f): f for f in model.functions}
    context = ModelContext(Weights(source.storage, source.files), functions, handler_of)
    proto = model.graph
    graph = Graph(proto.name or "graph")
    scope = Scope(model=context, graph=graph, opsets=opsets, initializers=initializers_of(proto))
    scope.initializers.update({n: a for n, a in revision.initializers.items() if n in scope.initializers})
    defaults = _import_inputs(scope, proto, keep_inputs, revision)
    import_nodes(scope, ordered(proto.node, {v.name for v in graph.inputs} | set(scope.initializers), graph.name))
    _import_outputs(scope, proto, revision)
    return ImportedModel(
        graph=graph,
        input_names=tuple(v.name for v in graph.inputs),
        output_names=tuple(o.name for o in proto.output),
        defaults=tuple(defaults),
        info=_info(model, opsets, revision),
        mapped=source.mapped,
        external=source.files.read,
        again=partial(_import_again, source.again, keep_inputs, revision),
    )


def _import_again(
    again: Callable[[], Source], as_before: Collection[str], revision: Revision, keep_inputs: Collection[str] | None
) -> ImportedModel:
    return _import(again(), as_before if keep_inputs is None else keep_inputs, revision)


def _info(model: Any, opsets: Mapping[str, int], revision: Revision) -> ModelInfo:
    return ModelInfo(
        graph=model.graph.name,
        producer=shown_text(model.producer_name),
        producer_version=shown_text(model.producer_version),
        domain=shown_text(model.domain),
        version=model.model_version,
        doc=shown_text(model.doc_string),
        graph_doc=shown_text(model.graph.doc_string),
        ir_version=model.ir_version,
        opsets=opsets,
        metadata={shown_text(p.key): shown_text(p.value) for p in model.metadata_props},
        shapes={v.name: revision.stated_shape(v.type, v.name) for v in [*model.graph.input, *model.graph.output]},
    )


def _opsets(source: Source) -> Mapping[str, int]:
    """The opset versions a model states. Files of IR versions before 3 could not, and mean opset 1."""
    stated: dict[str, int] = {}
    for entry in source.model.opset_import:
        domain = normal_domain(entry.domain)
        if stated.setdefault(domain, entry.version) != entry.version:
            raise InvalidModelError(f"{source.label} imports the domain '{domain or 'ai.onnx'}' in two versions")
    if not stated and 0 < source.model.ir_version < 3:
        return {"": 1}
    if not stated:
        raise InvalidModelError(
            f"{source.label} states no opset version (opset_import is empty), so its ops have no meaning. "
            "Export the model again"
        )
    return stated


def _import_inputs(
    scope: Scope, proto: Any, keep_inputs: Collection[str], revision: Revision
) -> list[tuple[str, Type | None]]:
    """Phase one; the inputs that initialisers give a value. Initialisers are read when a node first needs them."""
    graph = scope.graph
    names = [v.name for v in proto.input]
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) != len(names) else []
    if twice:
        raise InvalidModelError(f"graph '{graph.name}' has more than one input named {', '.join(twice)}")
    unknown = sorted(set(keep_inputs) - set(names))
    if unknown:
        raise InvalidModelError(f"keep_inputs names {', '.join(unknown)}; the model's inputs are {', '.join(names)}")
    graph.reserve([*names, *scope.initializers, *(o for node in proto.node for o in node.output)])
    defaults: list[tuple[str, Type | None]] = []
    for declared in proto.input:
        stored = scope.initializers.get(declared.name)
        declared_type = revision.type_of(declared.type, declared.name) or (
            None if stored is None else stored_type(stored)
        )
        if stored is not None and declared.name not in keep_inputs:
            defaults.append((declared.name, declared_type))
            continue
        scope.initializers.pop(declared.name, None)
        if declared_type is None:
            raise InvalidModelError(f"input '{declared.name}' has no declared type. Export the model again")
        value = Value(declared.name, declared_type)
        graph.inputs.append(value)
        scope.assign(declared.name, value)
    return defaults


def _import_outputs(scope: Scope, proto: Any, revision: Revision) -> None:
    """Phase three."""
    for declared in proto.output:
        value = scope.result(declared.name)
        stated = revision.type_of(declared.type, declared.name)
        if value.type is None:
            value.type = stated
        scope.graph.outputs.append(value)
        scope.graph.declared.append(stated)
