"""Ray Data: a dataset through a model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from arenaut.batch.functions import Function
from arenaut.batch.rows import RowOptions
from arenaut.batch.table import TableRunner
from arenaut.compiled.cache import cache_folder
from arenaut.pool.compiling import compile_first
from arenaut.pool.models import MODELS, Models


class Predictor:
    """The class whose objects Ray's actors hold: tables to tables of as many rows or, where some are bad, fewer. The
    arguments are those of map_batches."""

    def __init__(
        self, path: str, failed: str, rows: RowOptions, outputs: Sequence[str] | None, keep: Sequence[str] | None,
        before: str | Function | None, after: str | Function | None, threads: int, cache: str | bool,
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        folder = cache_folder(cache)
        if folder is not None:
            compile_first(MODELS, threads, folder, path, options)
        self._models = Models(threads, folder)
        face = self._models.load("model", path, options)
        self._failed = failed
        self._runner = TableRunner(face, self._run, rows, outputs, keep, before, after)

    def _run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._models.run("model", feeds, None, None)[0]

    def __call__(self, table: Any) -> Any:
        made, wrong = [], []
        for batch in table.to_batches():
            good, bad = self._runner(batch)
            made.append(good)
            wrong.append(bad)
        self._set_aside(pa.concat_tables(wrong))
        return pa.concat_tables(made)

    def _set_aside(self, wrong: Any) -> None:
        """Named by content: done a second time, it is the same file."""
        if not wrong.num_rows:
            return
        os.makedirs(self._failed, exist_ok=True)
        name = hashlib.sha256(repr(wrong.to_pylist()).encode()).hexdigest()[:40] + ".parquet"
        working = os.path.join(self._failed, f".{name}.{os.getpid()}")
        pq.write_table(wrong, working)
        os.replace(working, os.path.join(self._failed, name))


def map_batches(
    dataset: Any, path: str, *, failed: str, columns: Mapping[str, str] | None = None, batch_size: int = 32,
    block_rows: int = 1024, pad: Mapping[str, Any] | None = None, buckets: Sequence[int] = (),
    mask: Mapping[str, str] | None = None, outputs: Sequence[str] | None = None, keep: Sequence[str] | None = None,
    before: str | Function | None = None, after: str | Function | None = None, threads: int = 1,
    actors: int | tuple[int, int] | None = None, cache: str | bool = True, options: Mapping[str, Any] | None = None,
    **ray_options: Any,
) -> Any:  # fmt: skip
    """The dataset with the model's outputs as columns, computed by a pool of actors of `threads` CPUs each.

    path        of the model, readable on every node.
    failed      a folder for rows that the model does not take, with the reason each; on storage of all nodes, or each
                node has its own. The job goes on without them.
    columns, batch_size, pad, buckets, mask    see arenaut.batch.rows.RowOptions; batch_size is its `rows`.
    block_rows  rows that an actor is handed at a time.
    outputs     names of those wanted; None for all.
    keep        columns of the dataset that stay; None for all that feed no input of the model.
    before      columns to columns before the model: decoding pictures, cutting text into tokens. after: the same of the
                outputs. A function, "module:function" or "file.py:function".
    actors      how many, or (least, most); None for as many as the cluster's CPUs allow.
    cache       of each node, as of load_onnx. options: of load_onnx. ray_options: of ray.data.Dataset.map_batches.

    Lazy, as all of Ray Data. An actor whose node ends is started elsewhere, and its blocks are computed again.
    """
    import ray
    from ray.data import ActorPoolStrategy

    cpus = int(ray.cluster_resources().get("CPU", 1)) if ray.is_initialized() else threads
    least, most = actors if isinstance(actors, tuple) else (actors or 1, actors or max(1, cpus // threads))
    rows = RowOptions(columns or {}, batch_size, pad or {}, tuple(buckets), mask or {})
    arguments = {
        "path": path, "failed": failed, "rows": rows, "outputs": outputs, "keep": keep, "before": before,
        "after": after, "threads": threads, "cache": cache, "options": options or {},
    }  # fmt: skip
    return dataset.map_batches(
        Predictor, fn_constructor_kwargs=arguments, batch_size=block_rows, batch_format="pyarrow", num_cpus=threads,
        compute=ActorPoolStrategy(min_size=least, max_size=most), **ray_options,
    )  # fmt: skip
