"""Errors of the oracles that are known, with their reasons, and faults of arenaut that are not yet mended.

An entry holds for ops, where its predicate does: what it excuses is as little as possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.random.cases import Facts
from tests.random.predicates import (
    before_opset_13,
    beyond_border,
    by_one,
    differs_in_shape,
    dilated_same,
    holds_nan,
    level_scores,
    more_than_basic,
    nearly_equal,
    numbers_within_channels,
    of_doubles,
    one_rounded_coordinate,
    only_type,
    outrun_same,
    padded_same,
    resized_to_one,
    undilated,
    uneven_pads,
)

ORT, REF = "onnxruntime", "reference"
BOTH = "both oracles"  # they agree with each other, and each has the error
Predicate = Callable[[Facts, str], bool]


@dataclass(frozen=True)
class Known:
    """applies: (facts, what differs). rounding: only where rounding in float32 explains the whole difference."""

    oracle: str
    ops: str  # names, with spaces
    reason: str
    applies: Predicate = lambda facts, text: True
    rounding: bool = False
    fatal: bool = False  # it ends the process: it is not asked

    def holds(self, oracle: str, facts: Facts, text: str, rounding: bool) -> bool:
        fits = self.oracle == oracle and facts.op in self.ops.split() and (rounding or not self.rounding)
        return fits and self.applies(facts, text)


ORACLES: Sequence[Known] = (
    # -- onnx.reference: rounding
    Known(REF, "Erf Gelu", "computes erf in float32", rounding=True),
    Known(REF, "DeformConv", "takes coordinates as float32", of_doubles, rounding=True),
    Known(REF, "HannWindow HammingWindow BlackmanWindow", "computes in another order", rounding=True),
    # -- onnx.reference: types
    Known(
        REF,
        "SVMClassifier",
        "couples the probabilities of pairs of classes otherwise than libsvm",
        lambda f, t: f.attr("prob_a") is not None and "wrong" in t,
    ),
    Known(
        REF,
        "SVMClassifier",
        "names the second of two classes wherever no coefficient is negative, whatever the votes say",
        lambda f, t: f.attr("prob_a") is None and min(f.attr("coefficients")) >= 0 and "onnxruntime agrees" in t,
    ),
    Known(
        REF,
        "FeatureVectorizer LinearRegressor Normalizer Scaler SVMRegressor SVMClassifier",
        "keeps the input's type; the output is float32",
        only_type,
    ),
    Known(REF, "ReduceSumSquare ReduceSum ReduceProd ReduceL1", "numpy widens sums of integers", only_type),
    Known(REF, "LayerNormalization", "gives mean and deviation the type of X; the standard's are float32", only_type),
    Known(REF, "AffineGrid", "gives float32 or float64 whatever theta is", only_type),
    Known(REF, "Optional", "wraps the value in a list", only_type),
    # -- onnx.reference: meaning
    Known(
        REF,
        "GlobalMaxPool",
        "reduces two dims of images of any rank",
        lambda f, t: differs_in_shape(f, t) and f.rank(0) != 4,
    ),
    Known(REF, "Softmax LogSoftmax Hardmax", "does not flatten to two dims before opset 13", before_opset_13),
    Known(
        REF,
        "LRN",
        "sums windows of channels for the first N channels, N being the batch",
        lambda f, t: f.inputs[0].shape[0] < f.inputs[0].shape[1],
    ),
    Known(REF, "LpNormalization", "sums powers of x, not of its magnitude", lambda f, t: f.attr("p") == 1),
    Known(REF, "BatchNormalization", "trains before opset 14 whatever the outputs are", lambda f, t: f.opset < 14),
    Known(REF, "LSTM GRU RNN", "does not read clip, activations or sequence_lens", more_than_basic),
    Known(
        REF,
        "OneHotEncoder",
        "takes the last of equal categories; texts beside numbers",
        lambda f, t: f.dtype(0).startswith("float"),
    ),
    Known(REF, "LinearRegressor", "makes NaN of missing intercepts", lambda f, t: f.attr("intercepts") is None),
    Known(REF, "QLinearConv QLinearMatMul", "requantises in another order: ties fall to the other side", by_one),
    Known(
        REF,
        "QLinearConv",
        "takes bias and zero points of one channel for several",
        lambda f, t: differs_in_shape(f, t) and f.rank(4) == 1,
    ),
    Known(
        REF,
        "StringNormalizer",
        "strips accents, leaves empty texts out, and compares stop words before changing case",
        lambda f, t: bool(f.attr("stopwords")) or not all(x and str(x).isascii() for x in f.inputs[0].flat),
    ),
    Known(REF, "TreeEnsembleRegressor TreeEnsembleClassifier", "takes NaN as beyond every split", holds_nan),
    Known(
        REF,
        "AveragePool LpPool MaxPool",
        "dilation, ceil_mode and auto_pad give other windows, together or from indices of windows",
        lambda f, t: (
            sum(bool(f.attr(n)) for n in ("dilations", "ceil_mode", "auto_pad", "pads"))
            > (0 if "onnxruntime agrees" in t else 1)
        ),
    ),
    Known(
        REF,
        "ConvInteger",
        "takes zero points of channels off along another axis where weights have not 4 dims",
        lambda f, t: f.has(3) and f.inputs[3].ndim == 1 and f.rank(1) != 4,
    ),
    Known(
        REF,
        "LpPool",
        "the last window of ceil_mode is another one where strides leave a rest",
        lambda f, t: f.attr("ceil_mode") == 1 and max(f.attr("strides") or [1]) > 1,
    ),
    Known(
        REF,
        "MaxPool",
        "numbers other elements than the largest ones where SAME padding moves the windows",
        lambda f, t: padded_same(f) and f.dtype(0) == "bfloat16",
    ),
    Known(REF, "MaxPool", "numbers row by row whatever storage_order is", lambda f, t: f.attr("storage_order") == 1),
    Known(REF, "MaxPool", "numbers within each channel without strides and dilations", numbers_within_channels),
    Known(
        REF,
        "MaxPool",
        "takes pads as pairs of begin and end, where strides and dilations are 1",
        lambda f, t: differs_in_shape(f, t) and uneven_pads(f.attr("pads") or []),
    ),
    Known(
        REF,
        "Pad",
        "fills texts with the text 0; the standard says empty ones",
        lambda f, t: f.dtype(0) == "object" and not f.has(2),
    ),
    Known(
        REF,
        "Pad",
        "fills E8M0, which has no 0, with NaN; the standard's cast of 0 is its smallest number",
        lambda f, t: f.dtype(0) == "float8_e8m0fnu" and not f.has(2),
    ),
    Known(
        REF,
        "Unsqueeze",
        "inserts axes in the order they are listed in; the standard's order means nothing",
        lambda f, t: list(f.attr("axes") or ()) != sorted(f.attr("axes") or ()) and "onnxruntime agrees" in t,
    ),
    Known(REF, "MaxPool", "halves negative SAME padding downwards: windows start within the image", outrun_same),
    Known(
        REF,
        "MaxPool",
        "SAME_LOWER cuts off the last window; the standard rounds the size up",
        lambda f, t: f.attr("auto_pad") == "SAME_LOWER" and max(f.attr("strides") or [1]) > 1,
    ),
    Known(
        REF,
        "ConvTranspose",
        "SAME_LOWER and SAME_UPPER give a stride's pixels more",
        lambda f, t: differs_in_shape(f, t) and str(f.attr("auto_pad")).startswith("SAME"),
    ),
    Known(
        REF,
        "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
        "divides by the weights of ignored targets too",
        lambda f, t: f.attr("ignore_index") is not None,
    ),
    Known(
        REF,
        "RoiAlign",
        "mode max takes the largest of weighted corners in another way",
        lambda f, t: f.attr("mode") == "max",
    ),
    Known(
        REF,
        "Normalizer",
        "MAX takes the largest value; onnxruntime the largest magnitude",
        lambda f, t: f.attr("norm", "MAX") == "MAX",
    ),
    Known(REF, "Unique", "sorts although sorted is 0", lambda f, t: f.attr("sorted") == 0),
    Known(REF, "Shape", "an end before the first dim counts from the last", lambda f, t: f.attr("end", 0) <= -9),
    Known(REF, "Slice", "a negative end beyond the start counts from the end again", differs_in_shape),
    Known(REF, "Loop", "joins scan outputs instead of stacking them", lambda f, t: differs_in_shape(f, t)),
    Known(
        REF,
        "LinearClassifier",
        "chooses the label after the transformation, where saturated scores tie and zero falls behind",
        lambda f, t: f.attr("post_transform") in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"),
    ),
    Known(
        REF,
        "LinearClassifier",
        "is asked in float64, where nearly equal scores fall the other way",
        lambda f, t: "onnxruntime agrees" in t and level_scores(f, t),
    ),
    Known(REF, "LinearClassifier TreeEnsembleRegressor TreeEnsembleClassifier", "keeps the input's type", only_type),
    Known(REF, "GridSample", "truncates weights to the type of X", lambda f, t: not f.dtype(0).startswith("float")),
    Known(
        REF,
        "Resize",
        "takes coordinates as float64, onnxruntime and arenaut as float32",
        lambda f, t: "onnxruntime agrees" in t and f.dtype(0).startswith("float") and f.attr("mode") == "cubic",
    ),
    Known(REF, "Resize", "leaves imaginary parts out", lambda f, t: f.dtype(0).startswith("complex")),
    Known(
        REF,
        "Resize",
        "takes attributes as float32, and with them the coefficients of cubic_coeff_a",
        lambda f, t: f.attr("mode") == "cubic",
        rounding=True,
    ),
    Known(REF, "Resize", "a coordinate barely above an element takes the pair before it", one_rounded_coordinate),
    Known(
        REF, "LRN", "takes attributes as float32, and with them alpha divided by the size", of_doubles, rounding=True
    ),
    Known(REF, "HardSwish", "takes a sixth as float32", of_doubles, rounding=True),
    Known(REF, "GridSample", "takes coordinates as float32", of_doubles, rounding=True),
    Known(
        REF,
        "GridSample",
        "moves cubic coordinates to the border before it takes neighbours; PyTorch moves neighbours only",
        lambda f, t: f.attr("padding_mode") == "border" and "cubic" in f.attr("mode", "") and beyond_border(f, t),
    ),
    Known(
        REF,
        "Cast CastLike",
        "makes 0 of an E8M0 NaN, which the standard leaves open; other floats' NaN is the least integer, as on x86-64",
        lambda f, t: f.dtype(0) == "float8_e8m0fnu" and "wrong" in t and bool((f.inputs[0] != f.inputs[0]).any()),
    ),
    Known(REF, "QLinearMatMul", "reads 8-bit floats as integers", lambda f, t: "float8" in f.dtype(0) + f.dtype(3)),
    # -- onnxruntime: rounding
    Known(ORT, "HannWindow HammingWindow BlackmanWindow", "computes in float32", rounding=True),
    Known(
        ORT,
        "Shrink GroupNormalization HardSwish",
        "takes parts of float64 as float32",
        of_doubles,
        rounding=True,
    ),
    Known(
        REF,
        "GroupNormalization LayerNormalization RMSNormalization",
        "follows stash_type: float64 is normalised in float32",
        of_doubles,
        rounding=True,
    ),
    Known(ORT, "Attention", "takes the scale of float64 scores as float32", of_doubles, rounding=True),
    Known(
        REF,
        "ScatterND ScatterElements",
        "multiplies complex numbers in another order of rounding",
        lambda f, t: f.attr("reduction") == "mul" and f.dtype(0).startswith("complex"),
        rounding=True,
    ),
    Known(ORT, "DFT STFT Cos Sin", "float64 is a few units beyond the tolerance", of_doubles, rounding=True),
    Known(
        ORT,
        "Upsample Resize",
        "interpolates integers as float32",
        lambda f, t: f.dtype(0) in ("int32", "uint32"),
        rounding=True,
    ),
    Known(
        ORT,
        "LinearClassifier",
        "takes the logistic of negative scores from 1",
        lambda f, t: f.attr("post_transform") == "LOGISTIC",
        rounding=True,
    ),
    Known(
        REF,
        "LayerNormalization GroupNormalization",
        "is asked in float64; the standard names float32 for the mean, whose rounding a small deviation enlarges",
        lambda f, t: "onnxruntime agrees" in t,
        rounding=True,
    ),
    Known(
        REF,
        "LayerNormalization",
        "is asked in float64; elements that are nearly equal lose their first digits in float32",
        lambda f, t: "onnxruntime agrees" in t and nearly_equal(f, 100),
    ),
    Known(
        REF,
        "GroupNormalization",
        "takes the standard's difference of squares in float32, which loses the digits of a small deviation",
        lambda f, t: "onnxruntime agrees" in t and nearly_equal(f, 10),
    ),
    # -- both
    Known(BOTH, "MaxPool", "SAME padding does not count dilations: windows are left out", undilated),
    # -- onnxruntime: meaning
    Known(ORT, "NonZero", "gives a scalar one coordinate; the standard says none", lambda f, t: f.rank(0) == 0),
    Known(
        ORT,
        "StringSplit",
        "an empty text has no parts; the standard's example has one empty part",
        lambda f, t: any(not str(x).strip() for x in f.inputs[0].flat),
    ),
    Known(ORT, "MatMulInteger", "leaves the result of no products as it was", lambda f, t: f.inputs[0].shape[-1] == 0),
    Known(ORT, "Normalizer", "squares integers in their own type", lambda f, t: f.dtype(0).startswith("int")),
    Known(ORT, "DynamicQuantizeLinear", "gives zeros the scale 1", lambda f, t: not f.inputs[0].any()),
    Known(ORT, "Dropout", "gives a mask of False before opset 12", lambda f, t: f.opset < 12),
    Known(
        ORT,
        "MeanVarianceNormalization",
        "divides by a deviation of zero; the standard adds 1e-9",
        lambda f, t: "nan" in t,
    ),
    Known(ORT, "Loop", "a scan output of no trips has the rank of its declaration", differs_in_shape),
    Known(
        ORT,
        "Scan",
        "divides by the bytes of an element, which may be none",
        lambda f, t: f.some_empty(),
        fatal=True,
    ),
    Known(REF, "RoiAlign", "takes coordinates of half pixels before opset 16 too", lambda f, t: f.opset < 16),
    Known(REF, "ConvTranspose", "adds the biases of all groups", lambda f, t: f.has(2) and f.attr("group", 1) > 1),
    Known(
        REF,
        "MeanVarianceNormalization",
        "takes the standard's difference of squares in float64",
        rounding=True,
    ),
    Known(ORT, "Shrink", "computes integers in float32", lambda f, t: "int" in f.dtype(0)),
    Known(
        ORT,
        "Cast CastLike",
        "writes truths as 1 and 0, not as True and False",
        lambda f, t: "True" in t or "False" in t,
    ),
    Known(
        ORT,
        "Slice",
        "a backward slice to the largest integer goes to the front",
        lambda f, t: differs_in_shape(f, t) and any(n >= (1 << 31) - 1 for n in f.inputs[2].flat),
    ),
    Known(
        ORT,
        "AveragePool MaxPool",
        "VALID with ceil_mode gives the window that is partly outside; the standard's formula does not",
        lambda f, t: differs_in_shape(f, t) and f.attr("auto_pad") == "VALID" and f.attr("ceil_mode") == 1,
    ),
    Known(REF, "OneHot", "does not cut off fractions of indices", lambda f, t: f.dtype(0).startswith("float")),
    Known(
        REF, "Dropout", "gives a mask of bools before opset 10, where it has the type of X", lambda f, t: f.opset < 10
    ),
    Known(
        REF,
        "TreeEnsembleClassifier",
        "chooses classes that no leaf of a row names, by a score of 0",
        lambda f, t: "wrong: at" in t,
    ),
    Known(
        ORT,
        "Attention",
        "adds causality in the integer type of the mask",
        lambda f, t: "int" in f.dtype(3) and f.attr("is_causal") == 1,
    ),
    Known(
        ORT,
        "Attention",
        "a single query sees every key, is_causal or not",
        lambda f, t: f.attr("is_causal") == 1 and f.inputs[0].shape[-2] == 1 and "reference agrees" in t,
    ),
    Known(ORT, "ReduceLogSumExp", "takes exponentials of integers as integers", lambda f, t: "int" in f.dtype(0)),
    Known(
        ORT,
        "AveragePool MaxPool LpPool",
        "SAME padding does not count dilations",
        dilated_same,
    ),
    Known(ORT, "Upsample", "interpolates bytes in fixed point", lambda f, t: by_one(f, t) and "int8" in f.dtype(0)),
    Known(
        ORT,
        "Resize",
        "antialiased: rounds integers; takes cubic align_corners of other places",
        lambda f, t: f.attr("antialias") == 1,
    ),
    Known(
        ORT,
        "Cast CastLike",
        "writes eight digits of a float, not the shortest text that reads back",
        lambda f, t: "float" in f.dtype(0) and (f.attr("to") == 8 or f.dtype(1) == "object"),
    ),
    Known(
        ORT,
        "AffineGrid",
        "puts a dim of one at -1 where corners are aligned; PyTorch puts it at 0",
        lambda f, t: f.attr("align_corners") == 1 and 1 in f.inputs[1][2:].tolist(),
    ),
    Known(
        ORT,
        "Resize",
        "truncates interpolated integers; the standard's reference rounds them",
        lambda f, t: by_one(f, t) and "int" in f.dtype(0) and f.attr("mode") in ("linear", "cubic"),
    ),
    Known(
        ORT,
        "Resize",
        "aligns corners by the rounded length; the standard by size times scale",
        lambda f, t: f.attr("coordinate_transformation_mode") == "align_corners" and f.has(2),
    ),
    Known(
        ORT,
        "Resize",
        "takes coordinates as float32: whole ones fall beside, where the nearest one above or below is asked",
        lambda f, t: (
            f.attr("mode", "nearest") == "nearest"
            and f.attr("coordinate_transformation_mode", "half_pixel") in ("half_pixel", "half_pixel_symmetric")
            and f.attr("nearest_mode") in ("ceil", "floor")
            and "reference agrees" in t
        ),
    ),
    Known(
        REF,
        "Resize",
        "puts pytorch_half_pixel's length of one at -0.5, or not at all where size times scale is no whole number",
        lambda f, t: f.attr("coordinate_transformation_mode") == "pytorch_half_pixel" and resized_to_one(f, t),
    ),
    Known(
        ORT,
        "DFT",
        "convolves in float32 for lengths that are no powers of two",
        lambda f, t: "reference agrees" in t and any(n & (n - 1) for n in f.inputs[0].shape),
    ),
    Known(
        ORT,
        "TreeEnsembleClassifier",
        "leaves the second score unwritten: two classes, one base value, rows of which no leaf names the second class",
        lambda f, t: len(f.attr("base_values") or ()) == 1 and "wrong: at" in t,
    ),
    Known(
        REF,
        "TreeEnsembleRegressor TreeEnsembleClassifier",
        "takes targets that no leaf of a row names for reached ones",
        lambda f, t: "onnxruntime agrees" in t,
    ),
    Known(
        REF,
        "OneHot",
        "blends the two values instead of choosing",
        lambda f, t: "float" in f.dtype(2) or "complex" in f.dtype(2),
    ),
    Known(
        REF,
        "QuantizeLinear",
        "divides in the wider of the two types; the standard names the scale's",
        lambda f, t: f.dtype(0) != f.dtype(1),
    ),
    Known(
        ORT,
        "QuantizeLinear",
        "divides otherwise: quotients beside a tie fall to the other side",
        lambda f, t: by_one(f, t) and "reference agrees" in t,
    ),
    Known(
        REF,
        "MeanVarianceNormalization",
        "takes the standard's difference of squares in float64",
        lambda f, t: "onnxruntime agrees" in t,
    ),
    Known(REF, "GridSample", "takes other neighbours at the border", lambda f, t: "onnxruntime agrees" in t),
    Known(ORT, "Gelu", "computes float64 in float32", of_doubles, rounding=True),
    Known(ORT, "Gather", "leaves texts out of results of one row", lambda f, t: f.dtype(0) == "object"),
    Known(
        ORT,
        "LpPool",
        "VALID with ceil_mode gives the window that is partly outside; the standard's formula does not",
        lambda f, t: differs_in_shape(f, t) and f.attr("auto_pad") == "VALID" and f.attr("ceil_mode") == 1,
    ),
    Known(ORT, "Upsample", "rounds integers otherwise", lambda f, t: by_one(f, t) and "int" in f.dtype(0)),
    Known(ORT, "QLinearConv QLinearMatMul", "requantises in another order: ties fall to the other side", by_one),
)


OPEN: Sequence[Known] = ()


def may_ask(oracle: str, facts: Sequence[Facts]) -> bool:
    """Whether the oracle survives these runs."""
    return not any(k.fatal and any(k.holds(oracle, f, "", True) for f in facts) for k in ORACLES)


def explained(oracle: str, facts: Facts, text: str, rounding: bool) -> str:
    """Why the oracle is wrong there; empty where nothing is known."""
    for known in ORACLES:
        if known.holds(oracle, facts, text, rounding):
            return f"{facts.op}: {known.reason}"
    return ""


def open_fault(facts: Facts, text: str) -> str:
    for known in OPEN:
        if known.holds("arenaut", facts, text, True):
            return f"{facts.op}: {known.reason}"
    return ""
