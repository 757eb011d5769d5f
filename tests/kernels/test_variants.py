"""Which code path a row takes, by layout, sizes and features: a path that is never taken is noticed by nobody else.

CHOICES has, for every ARN_CHOICE of the kernels, calls that take the path and calls that do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arenaut import _native
from tests.support.rowcall import call, feature_masks, params_blob, rows
from tests.support.tileprog import F32, I32, lone, program

Array = np.ndarray[Any, Any]
KERNELS = Path(__file__).parents[2] / "cpp" / "kernels"


@dataclass(frozen=True)
class Call:
    """One call of each of `rows` by name. variant: what bind has to name on every tier; by a dict, for the first of
    these features that the target has, "" being none of them."""

    rows: str
    variant: str | Mapping[str, str]
    inputs: Sequence[Array | None]
    output: Array
    params: Mapping[str, Any] | None = None
    pack: Sequence[int] = ()
    tile: Any = None
    more: Sequence[Array] = field(default=())


def f32(*dims: int) -> Array:
    return np.ones(dims, np.float32)


def u8(*dims: int) -> Array:
    return np.ones(dims, np.uint8)


def channels_last(x: Array) -> Array:
    """The same dims with channels innermost in memory, also where there is only one."""
    return np.moveaxis(np.ones((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype), -1, 1)


def convolution(variant: str, channels: int, filters: int, kernel: int, *, size: int = 20, group: int = 1,
                stride: int = 1, last: bool = False, pack: bool = True) -> Call:  # fmt: skip
    out = (size + 2 * (kernel // 2) - kernel) // stride + 1
    x, y = f32(1, channels, size, size), f32(1, filters, out, out)
    if last:
        x, y = channels_last(x), channels_last(y)
    return Call("conv_f32", variant, [x, f32(filters, channels // group, kernel, kernel), None], y,
                window(kernel, stride, kernel // 2, group=group), [1] * pack)  # fmt: skip


def window(kernel: int, stride: int, pad: int, **more: Any) -> dict[str, Any]:
    return {"spatial": 2, "kernel": [kernel] * 2, "strides": [stride] * 2, "dilations": [1, 1], "pads": [pad] * 4,
            **more}  # fmt: skip


def transposed(kernel: int, variant: str) -> Call:
    out = 2 * 9 + kernel - 2
    x, y = channels_last(f32(1, 16, 9, 9)), channels_last(f32(1, 32, out, out))
    return Call("conv_transpose_f32", variant, [x, f32(16, 32, kernel, kernel), None], y, window(kernel, 2, 0, group=1),
                [1])  # fmt: skip


def product(variant: str, m: int, n: int, *, pack: bool) -> Call:
    return Call("matmul_f32 matmul_f64 matmul_i32 matmul_i64", variant, [f32(m, 64), f32(64, n), None], f32(m, n),
                {"alpha": 1.0, "beta": 1.0}, [1] * pack)  # fmt: skip


def qproduct(m: int, variant: Mapping[str, str]) -> Call:
    return Call("qmatmul", variant, [u8(m, 64), u8(64, 48), *[None] * 5], np.ones((m, 48), np.int32), {}, [1])


def qconvolution(group: int, size: int, variant: Mapping[str, str], kernel: int = 3) -> Call:
    x, y = channels_last(u8(1, 64, size, size)), channels_last(np.ones((1, 64, size, size), np.int32))
    return Call("qconv", variant, [x, u8(64, 64 // group, kernel, kernel), *[None] * 5], y,
                window(kernel, 1, kernel // 2, group=group), [1])  # fmt: skip


def blocks(m: int, accuracy: int, variant: str | Mapping[str, str], rounded: int = 0) -> Call:
    sizes = {"bits": 4, "block": 32, "k": 64, "n": 48, "accuracy": accuracy, "rounded": rounded}
    return Call("block_matmul", variant, [f32(m, 64), u8(48, 2, 16), f32(48, 2), None], f32(m, 48), sizes, [1, 2])


def half_product(variant: str | Mapping[str, str], m: int, *, pack: bool = True) -> Call:
    return Call("half_matmul", variant, [f32(m, 64), f32(64, 48), None], f32(m, 48),
                {"alpha": 1.0, "beta": 1.0, "rounded": 1}, [1] * pack)  # fmt: skip


def half_convolution(variant: str | Mapping[str, str], channels: int, stride: int = 1) -> Call:
    x, y = channels_last(f32(1, channels, 20, 20)), channels_last(f32(1, 16, 20 // stride, 20 // stride))
    return Call("half_conv", variant, [x, f32(16, channels, 3, 3), None], y,
                {**window(3, stride, 1, group=1), "rounded": 1}, [1])  # fmt: skip


def copy(variant: str, x: Array) -> Call:
    return Call("copy", variant, [x], f32(*x.shape))


def gather(variant: str, *shape: int) -> Call:
    return Call("gather", variant, [f32(*shape), np.zeros(5, np.int64)], f32(5, *shape[1:]), {"axis": 0})


def top(variant: str, k: int) -> Call:
    return Call(
        "top_k", variant, [f32(4, 100)], f32(4, k), {"axis": 1, "largest": 1}, more=[np.zeros((4, k), np.int64)]
    )


def norm(variant: str, x: Array) -> Call:
    return Call("layer_norm_f32 layer_norm_f64", variant, [x, f32(*x.shape[1:]), None, None], np.ones_like(x),
                {"axis": 1, "epsilon": 1e-5})  # fmt: skip


def groups(variant: str, channels: int, size: int) -> Call:
    x = channels_last(f32(2, channels, size, size))
    y = channels_last(f32(2, channels, size, size))
    return Call("group_norm_f32 group_norm_f64", variant, [x, f32(channels), f32(channels)], y,
                {"num_groups": channels // 4, "epsilon": 1e-5})  # fmt: skip


def batch(variant: str, last: bool) -> Call:
    x = channels_last(f32(1, 8, 5, 5)) if last else f32(1, 8, 5, 5)
    return Call("batch_norm_f32 batch_norm_f64", variant, [x, *(f32(8) for _ in range(4))], np.ones_like(x),
                {"epsilon": 1e-5})  # fmt: skip


def pool(names: str, variant: str, *, channels: int = 8, last: bool = False, stride: int = 1, tile: Any = None) -> Call:
    out = (13 - 3) // stride + 1
    x, y = f32(1, channels, 13, 13), f32(1, channels, out, out)
    if last:
        x, y = channels_last(x), channels_last(y)
    return Call(names, variant, [x], y, window(3, stride, 0, p=2), tile=tile)


def folded(names: str, variant: str, axis: int, x: Array) -> Call:
    y = np.ones([1 if i == axis else n for i, n in enumerate(x.shape)], x.dtype)
    return Call(names, variant, [x], y, {"axis": axis} if names.startswith("arg") else {"kind": 2, "axes": 1 << axis})


def softmax(names: str, variant: str, axis: int, *dims: int) -> Call:
    return Call(names, variant, [f32(*dims), None], f32(*dims), {"axis": axis})


def fft(variant: str, lines: int) -> Call:
    return Call("fft_f32 fft_f64", variant, [f32(lines, 16, 2), f32(16, 2), None], f32(lines, 16, 2), {"length": 16})


def add(variant: str, x: Array, y: Array | None = None) -> Call:
    return Call("tile", variant, [x, x if y is None else y], f32(*x.shape), tile=lone("add_f32"))


def table(variant: str, count: int) -> Call:
    steps = [("t", "mul_i32", "i0", "k0"), ("u", "min_i32", "t", "k1")]
    return Call("tile", variant, [u8(count)], u8(count), tile=program([I32], steps, ["u"], [(3, I32), (77, I32)]))


def byte_pair(variant: str, y: Array) -> Call:
    steps = [("x", "dequantize_i32", "i0", "k0", "k3"), ("y", "dequantize_i32", "i1", "k1", "k4"),
             ("s", "add_f32", "x", "y"), ("q", "quantize_u8_f32", "s", "k5", "k2")]  # fmt: skip
    numbers = [(3, I32), (5, I32), (7, I32), (0.02, F32), (0.03, F32), (0.04, F32)]
    return Call("tile", variant, [u8(*y.shape), u8(*y.shape)], y, tile=program([I32, I32], steps, ["q"], numbers))


def attention(variant: str, queries: int, heads: int = 2) -> Call:
    q, k = f32(1, heads, queries, 64), f32(1, 2, 40, 64)
    return Call("attention_f32", variant, [q, k, k, None], q.copy(), {"scale": 0.1})


def recurrent(variant: str, pack: bool) -> Call:
    state = f32(1, 2, 8)
    return Call("recurrent_f32", variant, [f32(1, 3, 2, 8), f32(1, 8, 8), *[None] * 5], f32(3, 1, 2, 8),
                {"activation": [1] * 6}, [1] * pack, more=[state, state])  # fmt: skip


_ARGS = "arg_f32 arg_f64 arg_i32 arg_i64 arg_u8 arg_i8"
_SUMS = "reduce_f32 reduce_f64 reduce_i32 reduce_i64 reduce_u32 reduce_u64 reduce_u8 reduce_i8"
_NORMS = "lp_pool_f32 lp_pool_f64"
_MEANS = "average_pool_f32 average_pool_f64 lp_pool_f32 lp_pool_f64"
_DOTS = {"amx_int8": "amx", "vnni": "vnni", "avx_vnni": "vnni", "dot": "dot", "": "pairs"}
_FEW = {"vnni": "vnni", "avx_vnni": "vnni", "dot": "dot", "": "pairs"}
_BLOCKS = {"amx_int8": "amx", "vnni": "vnni", "avx_vnni": "vnni", "": "plain"}
_MANY = {"amx_bf16": "bf16", **_BLOCKS}
_HALF = {"amx_bf16": "amx", "bf16": "bf16", "": "floats"}
_HALF_LINES = {**_HALF, "amx_bf16": "lines"}
_FEW_HALF = {"bf16": "bf16", "": "floats"}
_DEPTHWISE = {"vnni": "depthwise vnni", "avx_vnni": "depthwise vnni", "": "depthwise floats"}

CHOICES: Mapping[str, tuple[Sequence[Call], Sequence[Call]]] = {
    "attention/heads together": ([attention("heads together", 1, 4)], [attention("values in place", 1)]),
    "attention/keys in place": ([attention("values in place", 1)], [attention("values packed", 32)]),
    "attention/values in place": ([attention("values in place", 1)], [attention("values packed", 32)]),
    "blocks/amx": ([blocks(64, 4, _MANY)], [blocks(1, 4, {k: v for k, v in _BLOCKS.items() if v != "amx"})]),
    "blocks/vnni": ([blocks(64, 4, _MANY), blocks(1, 4, {k: v for k, v in _BLOCKS.items() if v != "amx"})], []),
    "blocks/rounded": ([blocks(64, 4, _MANY), blocks(64, 0, {"amx_bf16": "bf16", "": "f32 panels"}, rounded=1)],
                       [blocks(64, 0, {"amx_bf16": "bf16 planes", "": "f32 panels"})]),
    "blocks/f32": ([blocks(1, 0, "f32")], [blocks(64, 0, {"amx_bf16": "bf16 planes", "": "f32 panels"})]),
    "conv/channel rows": ([convolution("channel rows", 16, 32, 1)],
                          [convolution("lines", 16, 1, 1), convolution("pixel rows in place", 64, 256, 1, last=True)]),
    "conv/pixel rows in place": ([convolution("pixel rows in place", 64, 256, 1, last=True)],
                                 [convolution("pixel rows", 16, 32, 3, last=True, pack=False)]),
    "conv/lines": ([convolution("lines", 16, 32, 3, last=True)],
                   [convolution("pixel rows in place", 64, 256, 1, last=True)]),
    "conv/lines in place": ([convolution("lines in place", 16, 16, 1, last=True)],
                            [convolution("lines", 16, 32, 3, last=True)]),
    "conv/nonoverlapping": ([transposed(2, "lines in place")], [transposed(4, "pixel rows")]),
    "conv/depthwise": ([convolution("depthwise planes", 32, 32, 3, group=32)],
                       [convolution("lines", 16, 32, 3, last=True)]),
    "conv/depthwise channels": ([convolution("depthwise channels", 32, 32, 3, group=32, last=True)],
                                [convolution("depthwise planes", 32, 32, 3, group=32),
                                 convolution("depthwise planes", 1, 1, 3, last=True)]),
    "copy/runs": ([copy("runs", f32(64, 64))], [copy("strided", f32(64, 64)[:, ::2])]),
    "copy/periods": ([copy("periods", np.broadcast_to(f32(1, 30, 8), (8, 30, 8)))], [copy("runs", f32(64, 64))]),
    "copy/repeats": ([copy("repeats", np.broadcast_to(f32(8, 30, 1), (8, 30, 3)))], []),
    "copy/transpose": ([copy("transpose", f32(64, 64).T)], [copy("strided", f32(64, 64)[:, ::2])]),
    "gather/columns": ([Call("gather", "columns", [f32(40, 9), np.zeros(5, np.int64)], f32(40, 5), {"axis": 1})],
                       [gather("elements", 100)]),
    "gather/elements": ([gather("elements", 100)], [gather("slices", 100, 7)]),
    "half/lines": ([half_convolution(_HALF_LINES, 32)],
                   [half_convolution(_HALF, 16), half_convolution(_HALF, 32, stride=2)]),
    "half/few rows": ([half_product("few rows", 1)], [half_product(_HALF, 64)]),
    "half/amx": ([half_product(_HALF, 64)], [half_product(_FEW_HALF, 2, pack=False)]),
    "half/bf16": ([half_product(_FEW_HALF, 2, pack=False)], []),
    "matmul/in place": ([product("in place", 2, 96, pack=False)], [product("on the fly", 256, 96, pack=False)]),
    "matmul/packed": ([product("packed", 32, 96, pack=True)], [product("on the fly", 256, 2, pack=True)]),
    "norm/columns": ([norm("columns", f32(64, 80).T)], [norm("rows", f32(64, 80))]),
    "norm/groups": ([groups("groups", 32, 6)], [norm("rows", f32(64, 80))]),
    "pool/channels": ([pool("max_pool_f32 max_pool_f64 max_pool_u8 max_pool_i8", "channels", last=True),
                       pool(_MEANS, "channels", last=True)],
                      [pool(_NORMS, "planes"), pool(_NORMS, "planes", channels=1, last=True)]),
    "pool/lines": ([pool("max_pool_f32 max_pool_f64", "lines")],
                   [pool("max_pool_f32 max_pool_f64", "planes", stride=3)]),
    "pool/mean lines": ([pool("average_pool_f32 average_pool_f64", "lines")], []),
    "qconv/depthwise": ([qconvolution(64, 9, _DEPTHWISE)], [qconvolution(1, 9, _DOTS)]),
    "qconv/depthwise floats": ([qconvolution(64, 9, _DEPTHWISE)],
                               [qconvolution(64, 20, {**_DEPTHWISE, "": "depthwise"}, kernel=17)]),
    "qconv/depthwise vnni": ([qconvolution(64, 9, _DEPTHWISE)], []),
    "qconv/tiles": ([qconvolution(1, 12, {**_DOTS, "": "tiles"})], [qconvolution(1, 9, _DOTS)]),
    "qmatmul/amx": ([qproduct(32, _DOTS), qconvolution(1, 9, _DOTS)], [qproduct(1, _FEW)]),
    "qmatmul/vnni": ([qproduct(1, _FEW), qproduct(32, _DOTS)], []),
    "qmatmul/dot": ([qproduct(1, _FEW), qproduct(32, _DOTS)], []),
    "reduce/columns": ([folded(_SUMS, "columns", 0, f32(64, 80)), folded(_SUMS, "columns", 1, f32(64, 4)),
                        folded(_ARGS, "columns", 0, f32(64, 80))],
                       [folded(_SUMS, "rows", 1, f32(64, 80)), folded(_ARGS, "rows", 1, f32(64, 80))]),
    "signal/lines in lanes": ([fft("lines in lanes", 64)], [fft("line by line", 1)]),
    "softmax/columns": ([softmax("softmax_f32 log_softmax_f32", "columns", 0, 64, 80),
                         softmax("softmax_f32 log_softmax_f32", "columns", 1, 640, 2)],
                        [softmax("softmax_f32 log_softmax_f32", "rows", 1, 64, 80)]),
    "topk/few": ([top("few", 16)], [top("heap", 17)]),
    "tile/bytes": ([byte_pair("bytes", u8(1000))], [byte_pair("row", u8(1000, 2)[:, 0])]),
    "tile/row": ([add("row", f32(8, 2048)[:, :1024])], [add("rows", f32(64, 128)[:, :64])]),
    "tile/table": ([table("table", 1000)], [table("row", 100)]),
    "tile/transposed": ([add("transposed", f32(64, 80).T, f32(80, 64))], [add("rows", f32(8, 64).T, f32(64, 8))]),
}  # fmt: skip
"""By name of the choice: calls that take the path, and calls that could not or would not gain by it."""

BY_PARAMETERS: Sequence[Call] = [
    batch("channel a line", False),
    batch("channels inside", True),
    recurrent("packed", True),
    recurrent("packing", False),
    softmax("softmax_f64 log_softmax_f64", "lines", 1, 64, 80),
    pool("max_pool_f32", "lines", tile=program([F32], [("r", "relu_f32", "i0")], ["r"], (), 1)),
    *(
        Call("conv_f32", f"winograd {form}x{form}", [f32(1, 20, 11, 12), f32(24, 20, 3, 3), None], f32(1, 24, 11, 12),
             window(3, 1, 1, group=1, form=form), [1])
        for form in (2, 4)
    ),
]  # fmt: skip
"""Paths that operands or parameters decide, without a choice."""


def _masks(row: Mapping[str, Any]) -> list[int]:
    """Those without dot products of bytes, and those without products of bfloat16."""
    return list(dict.fromkeys([*feature_masks(row), *feature_masks(row, "bf16")]))


CALLS = [call_ for taken, other in CHOICES.values() for call_ in [*taken, *other]] + list(BY_PARAMETERS)
CASES = [(c, row, mask) for c in CALLS for name in c.rows.split() for row in rows(name) for mask in _masks(row)]


def _id(case: tuple[Call, Mapping[str, Any], int]) -> str:
    c, row, mask = case
    features = "+".join(name for name, bit, _ in _native.features() if mask & bit)
    variant = c.variant if isinstance(c.variant, str) else "|".join(c.variant.values())
    return f"{variant}-{row['name']}-{row['tier']}-{features}"


def _typed(x: Array | None, row: Mapping[str, Any]) -> Array | None:
    """The f32 array in the row's own element type and the same layout."""
    short = {"f64": np.float64, "i32": np.int32, "i64": np.int64, "u32": np.uint32, "u64": np.uint64, "u8": np.uint8,
             "i8": np.int8}  # fmt: skip
    wanted = short.get(row["name"].rsplit("_", 1)[-1])
    return x if x is None or wanted is None or x.dtype != np.float32 else x.astype(wanted, order="K")


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_the_call_takes_its_path(case: tuple[Call, dict[str, Any], int]) -> None:
    c, row, mask = case
    output = _typed(c.output, row)
    outputs = [output.astype(np.int64, order="K") if row["family"] == "ArgReduce" else output, *c.more]
    said = call(row, [_typed(x, row) for x in c.inputs], outputs, pack=c.pack, tile=c.tile, features=mask,
                params=None if c.params is None else params_blob(row["family"], c.params))  # fmt: skip
    assert said["status"] == 0
    bits = {name: bit for name, bit, least in _native.features() if row["tier"] >= least}
    if isinstance(c.variant, str):
        assert said["variant"] == c.variant
    else:
        assert said["variant"] == next(v for name, v in c.variant.items() if not name or bits.get(name, 0) & mask)


def _sources() -> dict[str, str]:
    """By folder of cpp/kernels: its code without comments."""
    found: dict[str, str] = {}
    for path in sorted([*KERNELS.rglob("*.h"), *KERNELS.rglob("*.cc")]):
        folder = path.relative_to(KERNELS).parts[0]
        found[folder] = found.get(folder, "") + re.sub(r"//[^\n]*", "", path.read_text())
    return found


def test_every_choice_of_the_kernels_is_here() -> None:
    text = "".join(code for folder, code in _sources().items() if folder != "kernel.h")
    assert set(re.findall(r'ARN_CHOICE\(\s*"([^"]+)"', text)) == set(CHOICES)


def test_every_path_of_a_folder_with_choices_is_taken() -> None:
    """What kernels call their paths, read from their sources, against the calls above."""
    folders = {name.split("/")[0] for name in CHOICES}
    taken = {v for c in CALLS for v in ([c.variant] if isinstance(c.variant, str) else c.variant.values())}
    # Of rows that have one path, or whose parameters mean another result.
    alone = {"eliminate", "fill", "lines", "slices", "planes with indices", "triangles"}
    named = re.compile(r"(?:bind_done\(|bind_units\(|variant = |kVariants\[\] = |kNames\[\] = |kKernel = |kPairs = |"
                       r"kPlain = |return \{)([^;]*);")  # fmt: skip
    for folder, code in _sources().items():
        if folder in folders:
            code = re.sub(r'ARN_CHOICE\(\s*"[^"]*"|static_assert\([^;]*;', "", code)
            paths = {s for statement in named.findall(code) for s in re.findall(r'"([^"]+)"', statement)}
            assert paths and paths - taken - alone == set(), folder
