"""Compiled files damaged with knowledge of their structure: one number of a program's image becomes another, or one
value of a table, and all checksums are right again. What is opened then must be refused, or run within its memory.

The layout of images is that of cpp/exec/image.cc; a test holds the two together.
"""

from __future__ import annotations

import json
import random
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arenaut import _native
from arenaut.compiled.container import CompiledFile, write_container
from arenaut.compiled.parts import PREPARED

_HOSTILE = (0, 1, 2, 3, -1, -2, 7, 8, 9, 15, 24, 63, 64, 65, 100, 255, 256, 1000, 4095, 65536,
            (1 << 31) - 1, -(1 << 31), 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, -(1 << 63))  # fmt: skip
_WEIGHT_SEGMENT = 1


@dataclass
class Token:
    """A number, the bytes of a text or of parameters, or eight bytes of an immediate. what: where it stands."""

    what: str
    value: int | bytes
    fixed: bool = False  # eight bytes


class _Parser:
    def __init__(self, image: bytes) -> None:
        self.image, self.at = image, 0
        self.tokens: list[Token] = []

    def number(self, what: str) -> int:
        bits = shift = 0
        while True:
            byte = self.image[self.at]
            self.at += 1
            bits |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        value = (bits >> 1) ^ -(bits & 1)
        self.tokens.append(Token(what, value))
        return value

    def bytes(self, what: str) -> None:
        size = self.number(f"{what} size")
        self.tokens.append(Token(what, self.image[self.at : self.at + size]))
        self.at += size

    def word(self, what: str) -> None:
        self.tokens.append(Token(what, self.image[self.at : self.at + 8], True))
        self.at += 8

    def numbers(self, what: str) -> None:
        for _ in range(self.number(f"{what} count")):
            self.number(what)

    def rows(self) -> None:
        for _ in range(self.number("rows")):
            self.bytes("row name")
            self.number("row tier")
            self.number("row features")

    def program(self) -> None:
        for name in ("tier", "features", "l1", "l2", "l3", "threads", "slots"):
            self.number(name)
        for _ in range(self.number("exprs")):
            for name in ("op", "a", "b", "c"):
                self.number(f"expr {name}")
        self.numbers("symbol stage")
        for _ in range(self.number("buffers")):
            segment = self.number("buffer segment")
            for name in ("bytes", "index", "region", "region offset"):
                self.number(f"buffer {name}")
            if segment == _WEIGHT_SEGMENT:
                self.number("weight offset")
        for _ in range(self.number("regions")):
            for name in ("bytes", "first", "last", "output", "reuses"):
                self.number(f"region {name}")
        for _ in range(self.number("checks")):
            self.number("check condition")
            self.numbers("check values")
            self.bytes("check text")
        for _ in range(self.number("places")):
            for name in ("buffer", "dtype", "offset"):
                self.number(f"place {name}")
            self.numbers("place dims")
            self.numbers("place strides")
        for _ in range(self.number("steps")):
            self.step()
        self.numbers("stage end")
        for _ in range(self.number("inputs")):
            self.number("input place")
            self.number("input host")
            self.number("input whole")
        self.numbers("output place")
        self.numbers("placement")

    def step(self) -> None:
        for name in ("kind", "row", "n_in"):
            self.number(f"step {name}")
        self.numbers("operand")
        self.bytes("params")
        for _ in range(self.number("patches")):
            for name in ("offset", "expr", "float"):
                self.number(f"patch {name}")
        if self.number("tile"):
            n_instr, _, n_imm, n_regs, n_out, _ = [self.number(f"tile {n}") for n in
                                                   ("instr", "in", "imm", "regs", "out", "first")]  # fmt: skip
            for _ in range(n_regs):
                self.number("register type")
            for _ in range(n_out):
                self.number("register of output")
            for _ in range(n_imm):
                self.word("immediate")
            for _ in range(n_instr):
                for name in ("fn", "dst", "a", "b", "c"):
                    self.number(f"instr {name}")
        for _ in range(self.number("packed")):
            for name in ("operand", "offset", "bytes"):
                self.number(f"packed {name}")
        for _ in range(self.number("sets")):
            for name in ("operand", "element", "symbol"):
                self.number(f"set {name}")
        self.number("carried")
        self.number("scanned")
        self.number("scratch reuses")
        for _ in range(self.number("bodies")):
            self.program()


def tokens_of(image: bytes) -> list[Token]:
    parser = _Parser(image)
    parser.rows()
    parser.program()
    assert parser.at == len(image)
    return parser.tokens


def image_of(tokens: Sequence[Token]) -> bytes:
    out = bytearray()
    for token in tokens:
        if isinstance(token.value, bytes):
            out += token.value
            continue
        bits = ((token.value << 1) ^ (-1 if token.value < 0 else 0)) & ((1 << 64) - 1)
        while bits >= 128:
            out.append(bits & 127 | 128)
            bits >>= 7
        out.append(bits)
    return bytes(out)


def damaged_image(rng: random.Random, tokens: Sequence[Token]) -> tuple[str, bytes]:
    """Where it was changed, and the image with one to three numbers changed."""
    changed = list(tokens)
    where = []
    kinds = sorted({t.what for t in changed})
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.choice(kinds)  # every kind of number alike, however often it occurs
        at = rng.choice([i for i, t in enumerate(changed) if t.what == kind])
        changed[at] = Token(kind, _other(rng, changed, at), changed[at].fixed)
        where.append(kind)
    return ", ".join(where), image_of(changed)


def _other(rng: random.Random, tokens: Sequence[Token], at: int) -> int | bytes:
    value = tokens[at].value
    if isinstance(value, int):
        like = [t.value for t in tokens if t.what == tokens[at].what and isinstance(t.value, int)]
        return rng.choice((rng.choice(like), value + rng.choice((-1, 1)), value * 2, rng.choice(_HOSTILE),
                           rng.randrange(0, 30)))  # fmt: skip
    if not value:
        return value
    data = bytearray(value)
    if len(data) % 8 == 0 and tokens[at].what == "params":
        place = 8 * rng.randrange(len(data) // 8)
        old = struct.unpack_from("<q", data, place)[0]
        new = rng.choice((rng.choice(_HOSTILE), old + rng.choice((-1, 1)), rng.randrange(-2, 12)))
        struct.pack_into("<q", data, place, max(-(1 << 63), min((1 << 63) - 1, new)))
        return bytes(data)
    data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def damaged_file(rng: random.Random, file: CompiledFile, path: str) -> str:
    """Writes a compiled file with one section damaged, its checksums right; returns where."""
    names = file.names("")
    name = rng.choice(names)
    sections: list[tuple[str, Any]] = []
    where = name
    for each in names:
        data = bytes(file.section(each))
        if each == name:
            where, data = _damaged_section(rng, name, data)
        sections.append((each, data))
    with open(path, "w+b") as target:
        write_container(target, file.made, sections)
    return where


def _damaged_section(rng: random.Random, name: str, data: bytes) -> tuple[str, bytes]:
    if name == "program" or name.startswith(PREPARED):
        where, image = damaged_image(rng, tokens_of(data))
        return f"{name}: {where}", image
    if name.split(".")[0] in ("manifest", "outline", "rewrites", "origin", "info"):
        document = json.loads(data)
        place = _change(rng, document)
        return f"{name}: {place}", json.dumps(document).encode()
    if not data:
        return name, b"x"
    if rng.random() < 0.3:
        return f"{name}: cut", data[: rng.randrange(len(data))]
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] = rng.randrange(256)
    return f"{name}: a byte", bytes(changed)


def _change(rng: random.Random, document: Any) -> str:
    """One value of a JSON document becomes another."""
    holders: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            holders.append((value, key))
            walk(value[key])

    walk(document)
    holder, key = rng.choice(holders)
    holder[key] = rng.choice((None, True, -1, 0, 1, 2, 1 << 40, 1 << 70, 0.5, "", "x", [], {}, [0], ["", "n", False],
                              rng.choice(holders)[1]))  # fmt: skip
    return str(key)


def aligned(data: bytes) -> np.ndarray[Any, Any]:
    """A copy at a multiple of 64 bytes."""
    room = np.zeros(len(data) + 64, np.uint8)
    start = -room.__array_interface__["data"][0] % 64
    room[start : start + len(data)] = np.frombuffer(data, np.uint8)
    return room[start : start + len(data)]


def weights_of(writer: _native.ImageWriter) -> bytes:
    with tempfile.TemporaryFile() as file:
        writer.write_weights(file.fileno())
        file.seek(0)
        return file.read()
