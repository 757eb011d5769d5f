"""Damages models: bytes of the file, and fields of the protobuf. Same seed, same damage."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import onnx

_INTEGERS = (0, 1, 2, 3, 7, 8, 9, 16, 31, 64, 255, 256, 1000, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 40,
             1 << 48, (1 << 62), (1 << 63) - 1, -1, -2, -9, -(1 << 31), -(1 << 63))  # fmt: skip
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, float("inf"), float("-inf"), float("nan"), 0.5, 1e9)
_WORDS = ("", "x", "y", "Add", "Loop", "If", "Reshape", "Identity", "com.microsoft", "ai.onnx.ml", "../secret", "N",
          "then_branch", "axis", "a\0b", "é" * 50)  # fmt: skip
_INT32_FIELDS = {5, 17, 13}  # int32, sint32, uint32 of protobuf's descriptors


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, cut out, doubled, or the end missing."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not out:
            break
        at, kind = rng.randrange(len(out)), rng.randrange(6)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:
            del out[at : at + rng.randint(1, 16)]
        elif kind == 3:
            out[at:at] = out[at : at + rng.randint(1, 16)]
        elif kind == 4:
            out[at : at + 1] = b"\xff" * rng.randint(1, 9) + b"\x01"  # a varint of its own size
        else:
            del out[at:]
    return bytes(out)


def damaged_fields(rng: random.Random, data: bytes) -> bytes:
    """One to three fields of the model changed, by their types."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(model))
        message, field = rng.choice(places)
        try:
            _damage(rng, message, field, places)
        except (ValueError, TypeError):  # a value that the field cannot hold
            continue
    return bytes(model.SerializeToString())


def _places(message: Any) -> Iterator[tuple[Any, Any]]:
    """Every field that is set, those of nested messages included."""
    pending = [message]
    while pending:
        current = pending.pop()
        for field, value in current.ListFields():
            yield current, field
            if field.type == field.TYPE_MESSAGE:
                pending += list(value) if _repeated(field) else [value]


def _repeated(field: Any) -> bool:
    found = getattr(field, "is_repeated", None)
    return bool(found) if found is not None else field.label == field.LABEL_REPEATED


def _damage(rng: random.Random, message: Any, field: Any, places: Sequence[tuple[Any, Any]]) -> None:
    value = getattr(message, field.name)
    if rng.random() < 0.1:
        message.ClearField(field.name)
    elif _repeated(field):
        _damage_list(rng, value, field, places)
    elif field.type == field.TYPE_MESSAGE:
        others = [getattr(m, f.name) for m, f in places if f.message_type == field.message_type and not _repeated(f)]
        copy = type(value).FromString(rng.choice(others).SerializeToString())
        value.CopyFrom(copy)
    else:
        setattr(message, field.name, _other(rng, field, value, places))


def _damage_list(rng: random.Random, values: Any, field: Any, places: Sequence[tuple[Any, Any]]) -> None:
    at = rng.randrange(len(values))
    kind = rng.randrange(5)
    if kind == 0:
        del values[at]
    elif kind == 1:
        _append(values, field, values[at])
    elif kind == 2:
        del values[at:]
    elif field.type == field.TYPE_MESSAGE:
        others = [
            v for m, f in places if f.message_type == field.message_type and _repeated(f) for v in getattr(m, f.name)
        ]
        values[at].CopyFrom(type(values[at]).FromString(rng.choice(others).SerializeToString()))
    else:
        values[at] = _other(rng, field, values[at], places)


def _append(values: Any, field: Any, value: Any) -> None:
    if field.type == field.TYPE_MESSAGE:
        values.add().CopyFrom(value)
    else:
        values.append(value)


def _other(rng: random.Random, field: Any, value: Any, places: Sequence[tuple[Any, Any]]) -> Any:
    if field.type == field.TYPE_STRING:
        names = [getattr(m, f.name) for m, f in places if f.type == f.TYPE_STRING and not _repeated(f)]
        listed = [v for m, f in places if f.type == f.TYPE_STRING and _repeated(f) for v in getattr(m, f.name)]
        return rng.choice([*names, *listed, *_WORDS])
    if field.type == field.TYPE_BYTES:
        changed: Callable[[bytes], bytes] = rng.choice([lambda b: b[:-1], lambda b: b + b"\x00", lambda b: b"",
                                                        lambda b: bytes(rng.randrange(256) for _ in b)])  # fmt: skip
        return changed(value)
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return rng.choice(_FLOATS)
    if field.type == field.TYPE_ENUM:
        return rng.randrange(12)
    number = rng.choice([*_INTEGERS, value + 1, value - 1, -value, 2 * value])
    return number if -(1 << 31) <= number < 1 << 31 or field.type not in _INT32_FIELDS else rng.randrange(30)
