"""Regular expressions as RE2 writes them, which onnxruntime uses, for Python's re; word bounds want its flag ASCII."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

Ranges = Sequence[tuple[int, int]]  # of code points, both ends included, ascending

# RE2's classes of ASCII: POSIX's by their names, Perl's by their letters.
_CLASSES = {
    "alnum": "09AZaz", "alpha": "AZaz", "ascii": "\x00\x7f", "blank": "\t\t  ", "cntrl": "\x00\x1f\x7f\x7f",
    "digit": "09", "graph": "!~", "lower": "az", "print": " ~", "punct": "!/:@[`{~", "space": "\t\r  ",
    "upper": "AZ", "word": "09AZ__az", "xdigit": "09AFaf",
    "d": "09", "s": "\t\n\f\r  ", "w": "09AZ__az",  # \s is without the vertical tab that [:space:] has
}  # fmt: skip
_CODES = "\\x{"


def python_pattern(pattern: str) -> str:
    """The pattern for re. Raises re.error for what has no counterpart, and for what RE2 does not know."""
    out: list[str] = []
    at, within = 0, False
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("\\Q"):
            literal, _, after = rest[2:].partition("\\E")
            out.append(re.escape(literal))
            at = len(pattern) - len(after)
        elif rest[0] == "\\":
            text, size = _escaped(rest, within)
            out.append(text)
            at += size
        elif within and rest.startswith("[:"):
            name, found, _ = rest[2:].partition(":]")
            if not found or name.removeprefix("^") not in _CLASSES or len(name.removeprefix("^")) == 1:
                raise re.error(f"there is no class [:{name}:]")
            out.append(_text(_class(name.removeprefix("^")), name.startswith("^")))
            at += len(name) + 4
        elif within:
            within = rest[0] != "]"
            out.append("\\" + rest[0] if rest[0] in "[&|~" else rest[0])
            at += 1
        elif rest[0] == "[":
            opening = re.match(r"\[\^?\]?", rest)
            assert opening is not None
            out.append(opening.group().replace("]", "\\]"))
            within = True
            at += opening.end()
        else:
            out.append(rest[0])
            at += 1
    return "".join(out)


def _escaped(rest: str, within: bool) -> tuple[str, int]:
    """What stands for the escape that rest begins with, and how long the escape is. within: a class."""
    letter = rest[1:2]
    if letter in ("p", "P"):
        named = re.match(r"\\[pP](?:\{(\^?)([^}]+)\}|([A-Z]))", rest)
        if named is None:
            raise re.error("a property of Unicode is \\pL or \\p{Lu}")
        negative = (letter == "P") != (named[1] == "^")
        return _set(_property(named[2] or named[3]), negative, within), named.end()
    if letter.lower() in ("d", "s", "w") and letter:
        return _set(_class(letter.lower()), letter.isupper(), within), 2
    if rest.startswith(_CODES):
        code, found, _ = rest[len(_CODES) :].partition("}")
        if not found or not re.fullmatch("[0-9A-Fa-f]{1,8}", code) or int(code, 16) > sys.maxunicode:
            raise re.error(f"\\x{{{code}}} is no character")
        return f"\\U{int(code, 16):08x}", len(_CODES) + len(code) + 1
    if letter in ("C", "Z"):
        raise re.error(f"\\{letter} has no counterpart")
    return ("\\Z" if letter == "z" else rest[:2]), 2


def _class(name: str) -> Ranges:
    ends = _CLASSES[name]
    return [(ord(a), ord(b)) for a, b in zip(ends[::2], ends[1::2], strict=True)]


@lru_cache(maxsize=64)
def _property(name: str) -> Ranges:
    """The characters of a general category of Unicode, or of all that begin with a letter."""
    if name == "Any":
        return [(0, sys.maxunicode)]
    if not re.fullmatch("[CLMNPSZ][a-z]?", name):
        raise re.error(f"the script or property {name} is not known")
    ranges: list[tuple[int, int]] = []
    # Behind the third plane there are marks, tags and characters of private use alone.
    for code in range(sys.maxunicode + 1) if name[0] in "CM" else range(0x40000):
        category = unicodedata.category(chr(code))
        if category.startswith(name) and category != "Cn":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1] = (ranges[-1][0], code)
            else:
                ranges.append((code, code))
    if not ranges:
        raise re.error(f"there is no category {name}")
    return ranges


def _complement(ranges: Ranges) -> Iterable[tuple[int, int]]:
    start = 0
    for first, last in ranges:
        if first > start:
            yield start, first - 1
        start = last + 1
    if start <= sys.maxunicode:
        yield start, sys.maxunicode


def _set(ranges: Ranges, negative: bool, within: bool) -> str:
    return _text(ranges, negative) if within else f"[{_text(ranges, negative)}]"


def _text(ranges: Ranges, negative: bool) -> str:
    """As part of a class of re."""
    chosen = _complement(ranges) if negative else ranges
    return "".join(f"\\U{a:08x}" if a == b else f"\\U{a:08x}-\\U{b:08x}" for a, b in chosen)
