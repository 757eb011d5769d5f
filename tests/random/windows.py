"""Templates of ops on images and signals: convolutions, pools, resampling, regions, transforms."""

from __future__ import annotations

import numpy as np

from tests.random.draw import Draw, between, given, plain, template


def _windows(d: Draw, spatial: int, *, dilated: bool = True, ceil: bool = False) -> tuple[list[int], list[int]]:
    """Draws attributes of windows; the kernel, and the least size of each spatial dim."""
    kernel = [d.choice([1, 1, 2, 3, 3, 5]) for _ in range(spatial)]
    strides = [d.choice([1, 1, 2, 3]) for _ in range(spatial)]
    dilations = [d.choice([1, 1, 2]) if dilated else 1 for _ in range(spatial)]
    extent = [(k - 1) * v + 1 for k, v in zip(kernel, dilations, strict=True)]
    mode = d.choice(["pads", "pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if mode == "pads":
        d.attr("pads", [d.fixed(0, min(2, kernel[i % spatial] - 1)) for i in range(2 * spatial)])
    elif mode != "none":
        d.attr("auto_pad", mode)
        if mode != "VALID" and d.chance(0.7):
            dilations, extent = [1] * spatial, kernel
    d.attr("strides", strides if d.chance(0.8) else None)
    if dilated:
        d.attr("dilations", dilations if max(dilations) > 1 or d.chance(0.3) else None)
    if ceil:
        d.attr("ceil_mode", d.choice([None, 0, 1]))
    return kernel, extent


@template("Conv", "ConvInteger", "QLinearConv")
def conv(d: Draw) -> None:
    spatial = d.choice([1, 2, 2, 2, 3])
    kernel, extent = _windows(d, spatial)
    group = d.choice([1, 1, 1, 2, 3])
    per_group, filters = d.choice([1, 2, 3, 4, 8, 16, 32]), d.choice([1, 2, 3, 8, 16, 33])
    if d.chance(0.2):
        per_group = 1
    d.attr("group", group if group > 1 or d.chance(0.3) else None)
    d.attr("kernel_shape", kernel if d.chance(0.7) else None)
    image = (d.size(0, 3), group * per_group, *(d.size(e, 40) for e in extent))
    weight, bias = (group * filters, per_group, *kernel), d.chance()
    if d.op == "Conv":
        d.input("X", image)
        d.input("W", weight, constant=0.6)
        if bias:
            d.input("B", (group * filters,), constant=0.6)
        return
    if d.op == "ConvInteger":
        d.input("x", image, between(-128, 255 if d.dtype(0) == "uint8" else 127))
        d.input("w", weight, between(-128, 255 if d.dtype(1) == "uint8" else 127), constant=0.6)
        if d.chance():
            d.input("x_zero_point", (), between(0, 9), constant=0.7)
            if d.chance():
                d.input("w_zero_point", () if d.chance() else (group * filters,), between(0, 9), constant=0.7)
        return
    scales = [d.choice([0.125, 0.03, 0.25]) for _ in range(3)]
    d.input("x", image)
    _scale_and_zero(d, scales[0])
    d.input("w", weight, constant=0.7)
    per_channel = d.chance(0.4)
    count = group * filters
    d.input("w_scale", (count,) if per_channel else (), given([scales[1]] * count if per_channel else scales[1]),
            constant=0.8)  # fmt: skip
    d.input("w_zero_point", (count,) if per_channel else (), given([0] * count if per_channel else 0), constant=0.8)
    _scale_and_zero(d, 8 * scales[2])
    if bias:
        d.input("B", (count,), constant=0.7)


def _scale_and_zero(d: Draw, scale: float) -> None:
    d.input("scale", (), given(scale), constant=0.8)
    d.input("zero_point", (), between(0, 9), constant=0.8)


@template("ConvTranspose")
def conv_transpose(d: Draw) -> None:
    spatial = d.choice([1, 2, 2, 3])
    kernel, _ = _windows(d, spatial)
    group, per_group, filters = d.choice([1, 1, 2]), d.choice([1, 2, 3, 8]), d.choice([1, 2, 3, 8])
    d.attr("group", group)
    d.attr("kernel_shape", kernel if d.chance(0.7) else None)
    strides = d.attributes.get("strides", [1] * spatial)
    if d.chance(0.3) and max(strides) > 1:
        d.attr("output_padding", [d.fixed(0, s - 1) for s in strides])
    d.input("X", (d.size(0, 3), group * per_group, *(d.size(2, 20) for _ in range(spatial))))
    d.input("W", (group * per_group, filters, *kernel), constant=0.6)
    if d.chance():
        d.input("B", (group * filters,), constant=0.6)


@template("MaxPool", "AveragePool", "LpPool")
def pool(d: Draw) -> None:
    spatial = d.choice([1, 2, 2, 2, 3])
    kernel, extent = _windows(d, spatial, dilated=d.has_attr("dilations"), ceil=True)
    d.attr("kernel_shape", kernel)
    d.attr("count_include_pad", d.choice([None, 0, 1]))
    d.attr("p", d.choice([None, 1, 2, 3]))
    d.attr("storage_order", d.choice([None, 0, 1]))
    d.input("X", (d.size(0, 3), d.size(1, 20), *(d.size(e, 40) for e in extent)))
    if d.op == "MaxPool" and d.opset >= 8:
        d.outputs(2)


@template("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(d: Draw) -> None:
    d.attr("p", d.choice([None, 1, 2, 3]))
    d.input("X", (d.size(0, 3), d.size(1, 20), *(d.size(1, 20) for _ in range(d.fixed(1, 3)))))


@template("MaxUnpool")
def max_unpool(d: Draw) -> None:
    n, c, h, w = d.size(1, 2), d.size(1, 3), d.size(1, 6), d.size(1, 6)
    d.attr("kernel_shape", [2, 2])
    d.attr("strides", [2, 2])
    d.input("X", (n, c, h, w))
    total = n * c * h * w * 4

    def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
        return rng.choice(total, dims, replace=False).astype(dtype)

    d.input("I", (n, c, h, w), values)


@template("Resize", oldest=10)
def resize(d: Draw) -> None:
    mode = d.choice(["nearest", "linear", "cubic"] if d.opset >= 11 else ["nearest", "linear"])
    rank = 4 if mode == "cubic" else d.choice([2, 3, 4, 4, 5]) if mode == "nearest" else d.choice([2, 4, 4, 4])
    shape = (d.size(1, 3), d.size(1, 4), *(d.size(1, 20) for _ in range(rank - 2))) if rank > 2 else (
        d.size(1, 20), d.size(1, 20))  # fmt: skip
    kept = max(0, rank - 3 if rank == 5 else rank - 2) if rank > 2 else 0
    d.attr("mode", mode if mode != "nearest" or d.chance() else None)
    factors = [1.0] * kept + [d.choice([0.5, 0.75, 1.0, 1.5, 2.0, 3.0]) for _ in range(rank - kept)]
    if d.opset == 10:
        d.input("X", shape)
        d.input("scales", (rank,), given(factors), dtype="float", constant=0.8)
        return
    ways = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    d.attr("coordinate_transformation_mode", d.choice([None, *ways, *(["half_pixel_symmetric"] * (d.opset >= 19))]))
    if mode == "nearest":
        d.attr("nearest_mode", d.choice([None, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    if mode == "cubic":
        d.attr("cubic_coeff_a", d.choice([None, -0.5, -0.75]))
        d.attr("exclude_outside", d.choice([None, 0, 1]))
    if d.opset >= 18 and d.chance(0.2) and mode != "nearest":
        d.attr("antialias", 1)
    d.input("X", shape)
    some = list(range(kept, rank)) if d.opset >= 18 and d.chance(0.3) else list(range(rank))
    if d.opset >= 18 and len(some) < rank:
        d.attr("axes", some)
    if d.opset >= 13 and d.chance(0.7):
        d.absent()
    else:
        d.input("roi", (0,), dtype="float", constant=1.0)
    if d.chance():
        d.input("scales", (len(some),), given([factors[i] for i in some]), dtype="float", constant=0.8)
    else:
        if d.opset >= 13:
            d.absent()
        else:
            d.input("scales", (0,), dtype="float", constant=1.0)
        sizes = [int(shape[i]) if i < kept else d.fixed(1, 30) for i in some]
        d.shaping("sizes", sizes)


@template("Upsample", oldest=7)
def upsample(d: Draw) -> None:
    mode = d.choice(["nearest", "linear"])
    shape = (d.size(1, 3), d.size(1, 4), d.size(1, 20), d.size(1, 20))
    factors = [1.0, 1.0, d.choice([1.0, 2.0, 3.0]), d.choice([1.0, 2.0, 1.5])]
    d.attr("mode", mode)
    d.input("X", shape)
    if d.has_attr("scales"):
        d.attr("scales", factors)
    else:
        d.input("scales", (4,), given(factors), dtype="float", constant=0.8)


@template("GridSample")
def grid_sample(d: Draw) -> None:
    modes = ["linear", "nearest", "cubic"] if d.opset >= 20 else ["bilinear", "nearest", "bicubic"]
    mode = d.choice(modes)
    d.attr("mode", mode)
    d.attr("padding_mode", d.choice([None, "zeros", "border", "reflection"]))
    d.attr("align_corners", d.choice([None, 0, 1]))
    n, c = d.size(1, 3), d.size(1, 4)
    d.input("X", (n, c, d.size(2, 9), d.size(2, 9)))
    d.input("grid", (n, d.size(1, 5), d.size(1, 5), 2), between(-1.2, 1.2))


@template("AffineGrid")
def affine_grid(d: Draw) -> None:
    n, spatial = d.fixed(1, 3), d.choice([2, 2, 3])
    d.attr("align_corners", d.choice([None, 0, 1]))
    d.input("theta", (n, spatial, spatial + 1))
    d.shaping("size", [n, d.fixed(1, 3), *(d.fixed(1, 9) for _ in range(spatial))])


@template("Col2Im")
def col2im(d: Draw) -> None:
    image, block = [d.fixed(5, 9) for _ in range(2)], [d.fixed(1, 3) for _ in range(2)]
    strides, pads = [d.fixed(1, 2) for _ in range(2)], [d.fixed(0, 1) for _ in range(4)]
    dilations = [d.fixed(1, 2) for _ in range(2)]
    count = 1
    for i in range(2):
        count *= (image[i] + pads[i] + pads[i + 2] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1
    for name, value in (("strides", strides), ("pads", pads), ("dilations", dilations)):
        d.attr(name, value)
    d.input("input", (d.size(1, 3), d.fixed(1, 3) * block[0] * block[1], count))
    d.shaping("image_shape", image)
    d.shaping("block_shape", block)


@template("DeformConv")
def deform_conv(d: Draw) -> None:
    kernel, c, filters = d.fixed(1, 3), d.fixed(1, 3), d.fixed(1, 3)
    pad, stride = d.fixed(0, 1), d.fixed(1, 2)
    n, h, w = d.size(1, 2), d.size(4, 9), d.size(4, 9)
    out = [(int(s) + 2 * pad - kernel) // stride + 1 for s in (h, w)]
    d.attr("kernel_shape", [kernel, kernel])
    d.attr("pads", [pad] * 4)
    d.attr("strides", [stride] * 2)
    d.input("X", (n, c, h, w))
    d.input("W", (filters, c, kernel, kernel))
    d.input("offset", (n, 2 * kernel * kernel, *out), between(-1, 1))
    if d.chance():
        d.input("B", (filters,))
    else:
        d.absent()
    if d.chance():
        d.input("mask", (n, kernel * kernel, *out), between(0, 1))


def _boxes(count: int, high: float, first: bool):  # type: ignore[no-untyped-def]
    def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
        corner = rng.uniform(0, high / 2, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(1, high / 2, (count, 2))], 1)
        if first:
            boxes = np.concatenate([np.zeros((count, 1)), boxes], 1)
        return boxes.astype(dtype)

    return values


@template("RoiAlign")
def roi_align(d: Draw) -> None:
    n, count = d.size(1, 2), int(d.size(0, 5))
    d.attr("mode", d.choice([None, "avg", "max"]))
    d.attr("output_height", d.fixed(1, 4))
    d.attr("output_width", d.fixed(1, 4))
    d.attr("sampling_ratio", d.choice([None, 0, 1, 2, 3]))
    d.attr("spatial_scale", d.choice([None, 0.5, 1.0]))
    d.attr("coordinate_transformation_mode", d.choice([None, "half_pixel", "output_half_pixel"]))
    d.input("X", (n, d.size(1, 4), d.size(4, 20), d.size(4, 20)))
    d.input("rois", (count, 4), _boxes(count, 8, False))
    d.input("batch_indices", (count,), between(0, int(n) - 1))


@template("MaxRoiPool")
def max_roi_pool(d: Draw) -> None:
    count = int(d.size(1, 4))
    d.attr("pooled_shape", [d.fixed(1, 4), d.fixed(1, 4)])
    d.attr("spatial_scale", d.choice([None, 0.5, 1.0]))
    d.input("X", (1, d.size(1, 4), d.size(9, 20), d.size(9, 20)))
    d.input("rois", (count, 5), _boxes(count, 8, True))


@template("NonMaxSuppression")
def non_max_suppression(d: Draw) -> None:
    n, count, classes = d.size(1, 2), int(d.size(1, 31)), d.size(1, 3)
    center = d.choice([None, 0, 1])
    d.attr("center_point_box", center)
    d.input("boxes", (n, count, 4), lambda rng, dims, dtype: np.stack(
        [_boxes(count, 8, False)(rng, dims[1:], dtype) for _ in range(dims[0])]))  # fmt: skip
    d.input("scores", (n, classes, count), between(0, 1))
    d.input("max_output_boxes_per_class", (1,) if d.chance() else (), given(d.choice([0, 1, 3, 100])), constant=0.7)
    if d.chance(0.7):
        d.input("iou_threshold", (1,), given([d.choice([0.1, 0.5, 0.7])]), constant=0.7)
        if d.chance(0.7):
            d.input("score_threshold", (1,), given([d.choice([0.1, 0.4])]), constant=0.7)


@template("DFT")
def dft(d: Draw) -> None:
    rank = d.rank(2, 4)
    shape = [*(d.size(1, 9) for _ in range(rank - 1)), d.choice([1, 1, 2])]
    axis = d.fixed(0, rank - 2)
    shape[axis] = d.size(1, 64)
    inverse = d.choice([None, 0, 1])
    d.attr("inverse", inverse)
    if shape[-1] == 1 and inverse != 1:
        d.attr("onesided", d.choice([None, 0, 1]))
    d.input("input", shape)
    if d.chance(0.4):
        d.input("dft_length", (), given(d.choice([4, 7, 16])), constant=0.8)
    else:
        d.absent()
    if d.has_attr("axis"):
        d.attr("axis", axis)
    else:
        d.input("axis", (), given(axis - rank if d.chance(0.3) else axis), constant=0.7)


@template("STFT")
def stft(d: Draw) -> None:
    length = d.fixed(2, 16)
    d.attr("onesided", d.choice([None, 0, 1]))
    d.input("signal", (d.size(1, 3), d.size(length, 200), 1))
    d.input("frame_step", (), given(d.fixed(1, 8)), constant=0.8)
    if d.chance():
        d.input("window", (length,), constant=0.7)
        if d.chance():
            d.input("frame_length", (), given(length), constant=0.8)
    else:
        d.absent()
        d.input("frame_length", (), given(length), constant=0.8)


@template("BlackmanWindow", "HammingWindow", "HannWindow")
def window(d: Draw) -> None:
    d.attr("periodic", d.choice([None, 0, 1]))
    d.attr("output_datatype", d.choice([None, 1, 11, 10]))
    d.input("size", (), given(int(d.size(2, 130))), constant=0.4)


@template("MelWeightMatrix")
def mel_weights(d: Draw) -> None:
    d.attr("output_datatype", d.choice([None, 1, 11]))
    for name, value in (("num_mel_bins", d.fixed(1, 8)), ("dft_length", d.choice([16, 64, 65])), ("sample_rate", 8192)):
        d.input(name, (), given(value), constant=0.7)
    d.input("lower_edge_hertz", (), given(0), constant=0.7)
    d.input("upper_edge_hertz", (), given(4096), constant=0.7)


@template("TfIdfVectorizer")
def tf_idf(d: Draw) -> None:
    text = d.dtype(0) == "string"
    words = d.rng.sample(["a", "bc", "Wort", "42", "the the"], 4) if text else d.rng.sample(range(-4, 5), 4)
    d.attr("mode", d.choice(["TF", "IDF", "TFIDF"]))
    d.attr("min_gram_length", d.choice([1, 1, 2]))
    d.attr("max_gram_length", 2)
    d.attr("max_skip_count", d.fixed(0, 2))
    d.attr("ngram_counts", [0, 2])
    d.attr("ngram_indexes", [0, 1, 2])
    pool = [*words[:2], words[2], words[3]]
    d.attr("pool_strings" if text else "pool_int64s", pool)
    if d.chance():
        d.attr("weights", [0.5, 2.0, 1.5])
    d.input("X", d.shape(d.fixed(1, 2), 1), plain)
