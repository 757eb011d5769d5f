"""The intermediate representation: graphs of ops that mean what the newest ONNX opset says. Imports nothing of ours."""

if not __name__.startswith("arenaut."):
    raise ImportError("import this package as arenaut.ir, not as top-level 'ir'")

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim, Expr, symbol
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import ARENAUT_DOMAIN, ML_DOMAIN, ONNX_DOMAIN, Graph, Node, Value
from arenaut.ir.types import MapType, OptionalType, SequenceType, TensorType, Type
from arenaut.ir.verify import verify

__all__ = [
    "ARENAUT_DOMAIN",
    "ML_DOMAIN",
    "ONNX_DOMAIN",
    "DType",
    "Dim",
    "Expr",
    "Graph",
    "GraphBuilder",
    "MapType",
    "Node",
    "OptionalType",
    "SequenceType",
    "TensorType",
    "Type",
    "Value",
    "dtype_of",
    "symbol",
    "verify",
]
