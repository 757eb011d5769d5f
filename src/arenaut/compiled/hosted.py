"""Steps that call an evaluator, in a model that was opened: each is a model of one node, read at its first call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import ref

from arenaut.compiled.container import CompiledFile
from arenaut.compiled.parts import HostStep
from arenaut.compiled.tables import DAMAGES, damaged
from arenaut.executor.host import answer_directly, evaluated_step, packed_result, typed_array
from arenaut.ir.errors import CompiledFileError, ModelError
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Graph

if TYPE_CHECKING:
    from arenaut import _native
    from arenaut.compiled.opened import OpenedProgram


def check_hosts(steps: Mapping[int, HostStep], native: _native.Program) -> None:
    """Its steps that call an evaluator have these operands and results. Raises ValueError."""
    for step, n_in, n_out in native.host_steps():
        host = steps.get(step)
        if host is None:
            raise ValueError(f"step {step} has no evaluator")
        if len(host.result_types) != n_out or not all(0 <= i < n_out for i in host.results):
            raise ValueError(f"step {step} has other results than its table")
        if len(host.types) != len(host.operands) or not all(0 <= i < n_in for i in host.operands):
            raise ValueError(f"step {step} has other operands than its table")


def host_caller(
    file: CompiledFile, steps: Mapping[int, HostStep], program: OpenedProgram
) -> Callable[[int, list[Any]], list[Any] | None]:
    """The callback of host steps: (native step, input arrays) -> output arrays; None once the program was told how to
    make them itself."""

    served, told = ref(program.native), set[int]()  # the program keeps this callback
    described: dict[int, str] = {}

    @cache
    def graph_of(step: int) -> Graph:
        from arenaut.frontend import import_model

        try:
            host, hosts = steps[step], file.section("hosts")
            described[step] = program.outline.steps[step].text
            if not 0 <= host.offset <= host.offset + host.size <= len(hosts):
                raise ValueError("a step outside the section of steps")
            graph = import_model(hosts[host.offset : host.offset + host.size]).graph
        except CompiledFileError:
            raise
        except (*DAMAGES, ModelError) as error:
            raise damaged(file.path, f"step {step}", error) from None
        if len(graph.inputs) != len(host.operands) or len(graph.outputs) != len(host.results):
            raise CompiledFileError(f"'{file.path}' is damaged: step {step} has other operands than its model")
        return graph

    def call(step: int, arrays: list[Any]) -> list[Any] | None:
        graph, native = graph_of(step), served()
        if step not in told and native is not None and len(graph.nodes) == 1:
            told.add(step)
            if answer_directly(native, step, graph.nodes[0]):
                return None
        host = steps[step]
        inputs = [typed_array(arrays[i], t) for i, t in zip(host.operands, host.types, strict=True)]
        made = evaluated_step(described[step], lambda: evaluate_graph(graph, inputs))
        results: list[Any] = [None] * len(host.result_types)
        for i, result in zip(host.results, made, strict=True):
            results[i] = packed_result(result, host.result_types[i])
        return results

    return call
