"""onnxruntime's ops on text and its alignments, which stay what they are: their records evaluate them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.ir.dtypes import DType
from arenaut.ir.ops.tokens import EXTENSIONS_DOMAIN, why_no_tokens
from arenaut.ir.record import Build

_TOKENS = {"mark": 0, "mincharnum": 1, "pad_value": "", "separators": None, "tokenexp": None}


def _as_stored(build: Build, spec: Spec) -> Outputs:
    if len(spec.wanted) > 1:
        return build.ops(spec.op, *spec.inputs, outputs=len(spec.wanted), domain=spec.domain, **spec.attributes)
    return [build.op(spec.op, *spec.inputs, domain=spec.domain, **spec.attributes)]


def _tokenizer(build: Build, spec: Spec) -> Outputs:
    (tokens,) = _as_stored(build, spec)
    assert tokens is not None and tokens.producer is not None
    wrong = why_no_tokens(tokens.producer)
    if wrong is not None:
        raise spec.invalid(wrong)
    return [tokens]


OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "Tokenizer"): ContribOp(_tokenizer, (1, 1), _TOKENS),
        (MICROSOFT, "MurmurHash3"): ContribOp(_as_stored, (1, 1), {"positive": 1, "seed": 0}),
        (MICROSOFT, "DynamicTimeWarping"): ContribOp(_as_stored, (1, 1), dtypes=(DType.INT32,)),
        (EXTENSIONS_DOMAIN, "StringSplit"): ContribOp(_as_stored, (2, 3), outputs=3),
    }
)
