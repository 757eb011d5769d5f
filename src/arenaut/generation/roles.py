"""What the inputs and outputs of a decoder mean, read from the names that exporters give them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from arenaut.inputs import TensorInfo
from arenaut.ir.errors import InputError
from arenaut.plain import dataclass

IDS = ("input_ids", "decoder_input_ids", "ids", "tokens")
MASKS = ("attention_mask", "decoder_attention_mask")
POSITIONS = ("position_ids", "decoder_position_ids")
STATES = ("encoder_hidden_states", "encoder_outputs", "last_hidden_state")
SOURCE_MASKS = ("encoder_attention_mask",)
LOGITS = ("logits", "lm_logits", "scores")
CACHE = re.compile(r"(?:past_key_values|past_key_value|past|cache)[._](?P<rest>.+)")
PRESENT = re.compile(r"(?:present_key_values|present_key_value|present|new_cache|past_key_values_out)[._](?P<rest>.+)")


@dataclass(frozen=True)
class Cache:
    """One tensor of keys or values: the input, the output that becomes it, and whether it is of an encoder's states."""

    past: TensorInfo
    present: str | None
    cross: bool


@dataclass(frozen=True)
class Roles:
    """Names of a decoder's inputs by what they mean (None: it has none such), its caches, and the output of logits."""

    ids: TensorInfo
    mask: TensorInfo | None
    positions: TensorInfo | None
    cache_positions: TensorInfo | None
    branch: TensorInfo | None
    states: TensorInfo | None
    source_mask: TensorInfo | None
    caches: tuple[Cache, ...]
    logits: str


def roles_of(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> Roles:
    """Raises InputError for a model that is no decoder, or has an input of unknown meaning."""
    by_name = {i.name: i for i in inputs}
    signature = f"inputs {', '.join(by_name)}; outputs {', '.join(o.name for o in outputs)}"

    def take(names: Sequence[str]) -> TensorInfo | None:
        return next((by_name.pop(n) for n in names if n in by_name), None)

    presents = {found["rest"]: o.name for o in outputs if (found := PRESENT.fullmatch(o.name))}
    caches = []
    for name in list(by_name):
        found = CACHE.fullmatch(name)
        if found:
            cross = bool(re.search(r"(?:^|[._])(?:encoder|cross)(?:[._]|$)", found["rest"]))
            present = presents.get(found["rest"])
            if present is None and not cross:
                raise InputError(f"cache '{name}' has no output that becomes it: {signature}")
            caches.append(Cache(by_name.pop(name), present, cross))
    ids = take(IDS)
    logits = next((o.name for n in LOGITS for o in outputs if o.name == n), None)
    if ids is None or logits is None:
        raise InputError(f"generate needs a decoder with an input 'input_ids' and an output 'logits': {signature}")
    roles = Roles(
        ids, take(MASKS), take(POSITIONS), take(("cache_position",)), take(("use_cache_branch",)), take(STATES),
        take(SOURCE_MASKS), tuple(caches), logits,
    )  # fmt: skip
    if by_name:
        raise InputError(f"generate does not know what to feed to {', '.join(by_name)}: {signature}")
    return roles
