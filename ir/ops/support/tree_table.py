"""The table that tree ensembles become, made from their lists of attributes by whole arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node
from arenaut.ir.record import NoRowError
from arenaut.plain import dataclass

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
_LEAF = -1
NODE_COLUMNS = ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true")
_LIMIT = 1 << 31  # the kernel's tables hold int32


@dataclass(frozen=True)
class Table:
    """What the kernel family Trees reads: see cpp/kernels/trees/kernels.inc. A child or root is a node, or ~leaf."""

    roots: Array
    nodes: Array  # [N, 5]: feature, mode, whether NaN is true, child if true, child if false
    splits: Array
    leaves: Array
    targets: Array
    weights: Array

    def arrays(self, dtype: np.dtype[Any]) -> list[Array]:
        return [
            self.roots,
            self.nodes,
            self.splits.astype(dtype),
            self.leaves,
            self.targets,
            self.weights.astype(dtype),
        ]

    def always(self, target: int) -> bool:
        """Whether every row gets a weight for that target: one tree has it in every leaf."""
        leaves = len(self.leaves) - 1
        has = np.zeros(leaves, bool)
        has[np.repeat(np.arange(leaves), np.diff(self.leaves))[self.targets == target]] = True
        tree = np.full(len(self.nodes), -1)  # of each node; children come after their parent
        lacking = np.zeros(len(self.roots), bool)
        frontier, owner = self.roots.astype(np.int64), np.arange(len(self.roots))
        while frontier.size:
            leaf = frontier < 0
            lacking[owner[leaf][~has[~frontier[leaf]]]] = True
            at, owner = frontier[~leaf], owner[~leaf]
            tree[at] = owner
            frontier, owner = self.nodes[at, 3:].astype(np.int64).reshape(-1), np.repeat(owner, 2)
        return bool((~lacking).any())


def table_of(node: Node) -> Table:
    """Raises RuleError where the attributes form no trees, NoRowError where nodes compare with sets."""
    if node.op == "TreeEnsemble":
        names = (
            "nodes_featureids", "nodes_modes", "nodes_splits", "nodes_truenodeids", "nodes_trueleafs",
            "nodes_falsenodeids", "nodes_falseleafs", "nodes_missing_value_tracks_true", "tree_roots",
            "leaf_targetids", "leaf_weights",
        )  # fmt: skip
        return _newest_table(*(_stated(node, name) for name in names))
    stem = "class" if node.op == "TreeEnsembleClassifier" else "target"
    nodes = tuple(_stated(node, f"nodes_{name}") for name in (*NODE_COLUMNS, "values"))
    leaves = tuple(_stated(node, f"{stem}_{name}") for name in ("treeids", "nodeids", "ids", "weights"))
    return _older_table(nodes, leaves)


class _ByIdentity:
    """An attribute as the key of a cache: compared as the one object that it is."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _stated(node: Node, name: str) -> _ByIdentity:
    """An attribute; the form with more digits where the model has it."""
    exact = node.attr(f"{name}_as_tensor")
    given = exact if exact is not None and np.size(exact) else node.attr(name)
    return _ByIdentity(() if given is None else given)


def listed(node: Node, name: str, dtype: Any) -> Array:
    """A list attribute as a vector; the form with more digits where the model has it."""
    return _vector(_stated(node, name), dtype)


def _vector(stated: _ByIdentity, dtype: Any) -> Array:
    found = np.asarray(stated.value)
    if found.dtype.kind not in "biuf":
        raise RuleError(f"a list of {found.dtype} where numbers are expected")
    return found.astype(dtype, copy=False).reshape(-1)


def _same_lengths(columns: Sequence[Array], what: str) -> None:
    if len({len(column) for column in columns}) > 1:
        raise RuleError(f"the lists of {what} have different lengths")


def _in_range(numbers: Array, what: str) -> Array:
    wrong = (numbers < 0) | (numbers >= _LIMIT)
    if wrong.any():
        raise RuleError(f"{what} {numbers[wrong][0]}")
    return numbers.astype(np.int32, copy=False)


def _arranged(roots: Array, is_leaf: Array, yes: Array, no: Array) -> tuple[Array, Array]:
    """A new order of entries in which children come after their parent and a tree lies in one piece, and each entry's
    code in it: the number among the nodes, or ~(the number among the leaves).

    roots: entries; yes, no: the entries that are children, of entries that are no leaf. Raises RuleError where an
    entry has two parents or no root leads to it.
    """
    parents = np.bincount(np.concatenate([roots, yes[~is_leaf], no[~is_leaf]]), minlength=len(is_leaf))
    if (parents > 1).any():
        raise RuleError("a node has two parents")
    tree = np.empty(len(is_leaf), np.int64)
    levels, frontier, owner = [], roots, np.arange(len(roots))
    while frontier.size:
        levels.append(frontier)
        tree[frontier] = owner
        inner = ~is_leaf[frontier]
        at, owner = frontier[inner], np.repeat(owner[inner], 2)
        frontier = np.stack([yes[at], no[at]], axis=1).reshape(-1)
    order = np.concatenate([*levels, np.zeros(0, np.int64)]).astype(np.int64)
    if len(order) < len(is_leaf):
        raise RuleError("nodes that no root leads to")
    order = order[np.argsort(tree[order], kind="stable")]
    code = np.empty(len(is_leaf), np.int64)
    leaf = is_leaf[order]
    code[order[~leaf]] = np.arange(np.count_nonzero(~leaf))
    code[order[leaf]] = ~np.arange(np.count_nonzero(leaf))
    return order, code


def _nodes(columns: Sequence[Array]) -> Array:
    return np.stack([np.asarray(c, np.int32) for c in columns], axis=1).reshape(-1, 5)


# -- TreeEnsembleClassifier and TreeEnsembleRegressor: nodes named by tree and number ----------------------------------


class _Names:
    """Looks entries up by (tree, node), whatever those numbers are."""

    def find(self, trees: Array, ids: Array) -> Array:
        """The entries, -1 where there is none."""
        raise NotImplementedError


def _names_of(trees: Array, ids: Array) -> _Names:
    """Raises RuleError where a pair is listed twice."""
    bounds = [(int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0) for numbers in (trees, ids)]
    spans = [highest - lowest + 1 for lowest, highest in bounds]
    if spans[0] * spans[1] <= _MOST_ROOM * len(trees):
        return _DenseNames(trees, ids, [lowest for lowest, _ in bounds], spans)
    return _SparseNames(trees, ids)


class _DenseNames(_Names):
    """Numbers that leave few out: a table of all pairs within their bounds."""

    def __init__(self, trees: Array, ids: Array, lowest: Sequence[int], spans: Sequence[int]) -> None:
        self._lowest, self._spans = lowest, spans
        self._entries = np.full(spans[0] * spans[1], -1)
        self._entries[self._keys(trees, ids)[0]] = np.arange(len(trees))
        if np.count_nonzero(self._entries >= 0) < len(trees):
            raise RuleError("a node is listed twice")

    def _keys(self, trees: Array, ids: Array) -> tuple[Array, Array]:
        """Places in the table, and which pairs have one; the others are at 0."""
        key, known = np.zeros(len(trees), np.int64), np.ones(len(trees), bool)
        for numbers, lowest, span in zip((trees, ids), self._lowest, self._spans, strict=True):
            known &= (numbers >= lowest) & (numbers <= lowest + span - 1)
            key = key * span + (numbers - lowest)
        return np.where(known, key, 0), known

    def find(self, trees: Array, ids: Array) -> Array:
        keys, known = self._keys(trees, ids)
        return np.where(known, self._entries[keys], -1)


class _SparseNames(_Names):
    """Any numbers, in order."""

    def __init__(self, trees: Array, ids: Array) -> None:
        self._trees, self._ids = np.unique(trees), np.unique(ids)
        keys = self._keys(trees, ids)[0]
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        if (np.diff(self._sorted) == 0).any():
            raise RuleError("a node is listed twice")

    def _keys(self, trees: Array, ids: Array) -> tuple[Array, Array]:
        """A number for each pair, and which pairs have one."""
        places, known = [], np.ones(len(trees), bool)
        for numbers, all_numbers in ((trees, self._trees), (ids, self._ids)):
            place = np.minimum(np.searchsorted(all_numbers, numbers), max(len(all_numbers) - 1, 0))
            known &= all_numbers[place] == numbers if len(all_numbers) else False
            places.append(place)
        return places[0] * len(self._ids) + places[1], known

    def find(self, trees: Array, ids: Array) -> Array:
        if not len(self._sorted):
            return np.full(len(trees), -1)
        keys, known = self._keys(trees, ids)
        place = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(known & (self._sorted[place] == keys), self._order[place], -1)


@lru_cache(maxsize=2)
def _older_table(nodes: tuple[_ByIdentity, ...], leaves: tuple[_ByIdentity, ...]) -> Table:
    trees, ids, features, yes, no = (_vector(nodes[i], np.int64) for i in (0, 1, 2, 4, 5))
    modes = _mode_codes(nodes[3].value)
    missing, values = _vector(nodes[6], np.int64), _vector(nodes[7], np.float64)
    missing = missing if len(missing) else np.zeros(len(trees), np.int64)
    _same_lengths((trees, ids, features, modes, yes, no, missing, values), "nodes")
    leaf_columns = [_vector(c, np.int64) for c in leaves[:3]]
    weights = _vector(leaves[3], np.float64)
    _same_lengths((*leaf_columns, weights), "leaf weights")

    names, is_leaf = _names_of(trees, ids), modes == _LEAF
    branches, has_parent = np.nonzero(~is_leaf)[0], np.zeros(len(trees), bool)
    children = [np.full(len(trees), -1) for _ in (yes, no)]
    for child, stated in zip(children, (yes, no), strict=True):
        found = names.find(trees[branches], stated[branches])
        if (found < 0).any():
            lost = branches[found < 0][0]
            raise RuleError(f"node {stated[lost]} of tree {trees[lost]} is missing")
        child[branches] = found
        has_parent[found] = True
    roots = np.nonzero(~has_parent)[0]
    order, code = _arranged(roots, is_leaf, *children)
    inner = order[~is_leaf[order]]
    table = _nodes(
        [_in_range(features[inner], "feature"), modes[inner], missing[inner] != 0, *(code[c[inner]] for c in children)]
    )
    return _with_leaves(
        code[roots], table, values[inner], code, names.find(*leaf_columns[:2]), leaf_columns[2], weights
    )


def _with_leaves(
    roots: Array, nodes: Array, splits: Array, code: Array, entries: Array, targets: Array, weights: Array
) -> Table:
    """entries: what each weight belongs to, as the model lists them; weights of what is no leaf count for nothing."""
    targets = _in_range(targets, "target")
    codes = np.where(entries < 0, 0, code[entries]) if len(code) else np.zeros(len(entries), np.int64)
    used = np.nonzero(codes < 0)[0]
    used = used[np.argsort(~codes[used], kind="stable")]
    counts = np.bincount(~codes[used], minlength=np.count_nonzero(code < 0))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return Table(roots.astype(np.int32), nodes, splits, starts, targets[used], weights[used])


def _mode_codes(modes: Sequence[Any]) -> Array:
    codes = {mode: _MODE_CODES.get(mode.decode() if isinstance(mode, bytes) else mode) for mode in set(modes)}
    unknown = [mode for mode, code in codes.items() if code is None]
    if unknown:
        raise RuleError(f"nodes of mode {unknown[0]}")
    return np.fromiter(map(codes.__getitem__, modes), np.int64, len(modes))


# A table of pairs may have so many times their number of places.
_MOST_ROOM = 4
_MODE_CODES = {"LEAF": _LEAF, **{name: i for i, name in enumerate(MODES)}}


# -- TreeEnsemble: nodes and leaves named by their places --------------------------------------------------------------


@lru_cache(maxsize=2)
def _newest_table(*stated: _ByIdentity) -> Table:
    features, modes, splits, yes, yes_leaf, no, no_leaf, missing, roots, targets, weights = (
        _vector(s, np.float64 if i in (2, 10) else np.int64) for i, s in enumerate(stated)
    )
    missing = missing if len(missing) else np.zeros(len(features), np.int64)
    _same_lengths((features, modes, splits, yes, yes_leaf, no, no_leaf, missing), "nodes")
    _same_lengths((targets, weights), "leaves")
    count, leaves = len(features), len(targets)
    for numbers, limit, what in (
        (roots, count, "node"), (yes[yes_leaf == 0], count, "node"), (no[no_leaf == 0], count, "node"),
        (yes[yes_leaf != 0], leaves, "leaf"), (no[no_leaf != 0], leaves, "leaf"),
    ):  # fmt: skip
        wrong = (numbers < 0) | (numbers >= limit)
        if wrong.any():
            raise RuleError(f"{what} {numbers[wrong][0]} is missing")
    if (modes == len(MODES)).any():
        raise NoRowError("nodes that ask for membership")
    unknown = (modes < 0) | (modes > len(MODES))
    if unknown.any():
        raise RuleError(f"nodes of mode {modes[unknown][0]}")
    # A tree of one leaf is written as a node that has that leaf twice.
    single = (yes_leaf != 0) & (no_leaf != 0) & (yes == no)
    is_root = np.zeros(count, bool)
    is_root[roots] = True
    dropped = is_root & single
    if (single & ~dropped).any():
        raise RuleError("a node has two parents")
    # Entries: the nodes, then the leaves.
    ends = [np.where(leaf != 0, count + child, child) for child, leaf in ((yes, yes_leaf), (no, no_leaf))]
    entries = np.where(dropped[roots], ends[0][roots], roots)
    kept = np.nonzero(~dropped)[0]
    leads_to = np.concatenate([entries, *(e[kept] for e in ends)])
    present = np.zeros(count + leaves, bool)
    present[leads_to] = True
    if not present[kept].all():
        raise RuleError("nodes that no root leads to")
    number = np.cumsum(present) - 1  # entries that something leads to, closed up
    is_leaf = (np.arange(count + leaves) >= count)[present]
    inner_ends = [np.where(present[:count] & ~dropped, number[np.where(dropped, 0, e)], -1) for e in ends]
    children = [np.concatenate([e[present[:count]], np.full(np.count_nonzero(is_leaf), -1)]) for e in inner_ends]
    order, code = _arranged(number[entries], is_leaf, *children)
    inner = order[~is_leaf[order]]
    source = np.nonzero(present)[0][inner]
    table = _nodes(
        [_in_range(features[source], "feature"), modes[source], missing[source] != 0,
         *(code[c[inner]] for c in children)]
    )  # fmt: skip
    owners = np.where(present[count:], number[count:], -1)
    return _with_leaves(code[number[entries]], table, splits[source], code, owners, targets, weights)
