"""What a pass is given beside the graph: the target, and a trace of what was rewritten and what nearly was."""

from __future__ import annotations

from dataclasses import field

from arenaut.ir.graph import Node
from arenaut.ir.target import Target
from arenaut.plain import dataclass


@dataclass(frozen=True)
class Event:
    """A named rewrite at a node: fired, perhaps with what there is to say about it, or refused for a reason."""

    pass_name: str
    rewrite: str
    node: str
    fired: bool
    reason: str = ""


@dataclass
class PassContext:
    """target: what may run. fold_limit_bytes: constants made by folding may grow a model by at most this much each."""

    target: Target
    fold_limit_bytes: int = 1 << 20
    events: list[Event] = field(default_factory=list)
    current: str = ""

    def fired(self, rewrite: str, node: Node, reason: str = "") -> None:
        self.events.append(Event(self.current, rewrite, node.name or node.op, True, reason))

    def missed(self, rewrite: str, node: Node, reason: str) -> None:
        """A near-match that was refused; reason says why, for `arenaut explain`."""
        self.events.append(Event(self.current, rewrite, node.name or node.op, False, reason))
