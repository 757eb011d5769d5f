"""Results that are kept, a line of JSON each, as soon as they are there: the next call of a page goes on from them."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Measured(Generic[Key, Result]):
    """path: None where nothing is read or kept. read: a result from what `asdict` made of it, and key its name.
    say: one line of it."""

    path: Path | None
    read: Callable[[Mapping[str, Any]], Result]
    key: Callable[[Result], Key]
    say: Callable[[Result], str]

    def stored(self) -> dict[Key, Result]:
        """What earlier calls measured; of two lines of one key the later."""
        lines = self.path.read_text().splitlines() if self.path is not None and self.path.exists() else ()
        results = (self.read(json.loads(line)) for line in lines)
        return {self.key(result): result for result in results}

    def go_on(self, keys: Iterable[Key], measure: Callable[[Key], Result], seconds: float) -> dict[Key, Result]:
        """Measures what is not stored yet, and begins nothing more after so many seconds. All results by key."""
        results, start = self.stored(), time.monotonic()
        for key in keys:
            if key in results or time.monotonic() - start > seconds:
                continue
            result = results[key] = measure(key)
            if self.path is not None:
                self.path.parent.mkdir(exist_ok=True)
                with self.path.open("a") as file:
                    file.write(json.dumps(asdict(result)) + "\n")  # type: ignore[call-overload]
            print(self.say(result), flush=True)
        return results


def page_parser(description: str | None, names: list[str]) -> argparse.ArgumentParser:
    """The options that the pages have in common. names: measured where none are given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=names, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slot", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    return parser


def how(options: argparse.Namespace) -> str:
    return f"{options.rounds} rounds of {options.slot:g} s"
