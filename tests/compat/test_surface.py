"""Nothing of onnxruntime's interface is missing: every name of the installed package is compared."""

from __future__ import annotations

import enum
import sys
import types
from typing import Any

import onnxruntime as theirs
import onnxruntime.capi._pybind_state as their_native
import onnxruntime.capi.onnxruntime_inference_collection as their_collection
import pytest

import arenaut.compat.onnxruntime as ours
import arenaut.compat.onnxruntime.capi._pybind_state as our_native
import arenaut.compat.onnxruntime.capi.onnxruntime_inference_collection as our_collection

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="onnxruntime stopped releasing for this Python")
# Modules that theirs happens to import.
STRANGERS = {"contextlib", "os", "platform", "warnings"}


def public(thing: Any) -> set[str]:
    return {n for n in dir(thing) if not n.startswith("_")} - STRANGERS


def classes(module: Any) -> list[str]:
    return sorted(n for n in public(module) if isinstance(getattr(module, n), type))


def test_the_version_is_the_one_compared_with() -> None:
    assert ours.__version__ == ours.version == theirs.__version__


def test_names() -> None:
    assert public(theirs) <= public(ours)
    assert public(their_native) <= public(our_native)


@pytest.mark.parametrize("name", classes(theirs))
def test_public_classes(name: str) -> None:
    check_class(getattr(theirs, name), getattr(ours, name))


@pytest.mark.parametrize("name", classes(their_native))
def test_native_classes(name: str) -> None:
    check_class(getattr(their_native, name), getattr(our_native, name))


def check_class(expected: Any, actual: Any) -> None:
    has = public(actual) | set(getattr(actual, "__annotations__", ()))
    if issubclass(actual, enum.Enum):
        has |= {"name", "value", *actual.__members__}
    assert public(expected) <= has
    if issubclass(expected, Exception):
        assert actual.__name__ == expected.__name__ and actual.__module__ == expected.__module__
        assert issubclass(actual, Exception)
    members = getattr(expected, "__members__", None)
    if members is None or issubclass(expected, enum.Enum):
        return
    assert {n: int(m) for n, m in members.items()} == {n: int(m) for n, m in actual.__members__.items()}
    assert [repr(m) for m in members.values()] == [repr(actual.__members__[n]) for n in members]
    assert [str(m) for m in members.values()] == [str(actual.__members__[n]) for n in members]


def test_the_collection_has_the_classes() -> None:
    wanted = {
        n for n in classes(their_collection) if getattr(their_collection, n).__module__ == their_collection.__name__
    }
    assert wanted <= public(our_collection)


def test_settings_have_their_defaults() -> None:
    for kind in ("SessionOptions", "RunOptions"):
        expected, actual = getattr(theirs, kind)(), getattr(ours, kind)()
        for name in public(expected):
            value = getattr(expected, name)
            if not isinstance(value, types.MethodType) and not callable(value):
                assert repr(getattr(actual, name)) == repr(value), f"{kind}.{name}"


def test_a_refused_class_says_what_to_do_instead() -> None:
    with pytest.raises(our_native.NotImplemented, match=r"ModelCompiler is not part of arenaut: .*save_onnx"):
        ours.ModelCompiler()
    with pytest.raises(our_native.NotImplemented, match=r"LoraAdapter\.Load .*merge"):
        ours.LoraAdapter.Load("x")
    with pytest.raises(our_native.NotImplemented, match="dense"):
        ours.SparseTensor.sparse_coo_from_numpy()
