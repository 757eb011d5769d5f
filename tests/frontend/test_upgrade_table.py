"""Every version step of every op that onnx knows has a rule or a stated reason why it needs none."""

from __future__ import annotations

from onnx import defs, helper

from arenaut.frontend.upgrade import rules
from arenaut.frontend.upgrade.unchanged import unchanged
from arenaut.ir.schemas import onnx_schema, versions

STEPS = {
    (domain, op, old): new
    for domain, op in sorted({(s.domain, s.name) for s in defs.get_all_schemas_with_history()})
    for old, new in zip(versions(domain, op), versions(domain, op)[1:], strict=False)
}


def _default(attribute: defs.OpSchema.Attribute) -> object:
    stated = attribute.default_value
    return helper.get_attribute_value(stated) if stated.name else None


def test_every_step_is_decided_once() -> None:
    decided = set(rules()) | set(unchanged())
    assert set(STEPS) - decided == set()
    assert set(rules()) & set(unchanged()) == set()


def test_no_decision_is_about_a_step_that_does_not_exist() -> None:
    withdrawn = {("", "Upsample", 9), ("", "Scatter", 9)}  # their ops end there: the rule leads to another op
    assert set(rules()) - set(STEPS) == withdrawn
    assert set(unchanged()) - set(STEPS) == set()


def test_steps_without_a_rule_take_nothing_away() -> None:
    """What a schema can show of a changed meaning: an attribute that went, a default that changed, an input that
    moved or became required, an output that went."""
    for domain, op, version in unchanged():
        old, new = onnx_schema(domain, op, version), onnx_schema(domain, op, STEPS[domain, op, version])
        assert old is not None and new is not None
        where = f"{op} {version}"
        for name, attribute in old.attributes.items():
            assert name in new.attributes, where
            assert _default(attribute) in (None, _default(new.attributes[name])) or op in _SOFTMAX, where
            assert attribute.type == new.attributes[name].type, where
        for name in set(new.attributes) - set(old.attributes):
            assert not new.attributes[name].required, where
        for index, formal in enumerate(new.inputs):
            if index >= len(old.inputs):
                assert formal.option == defs.OpSchema.FormalParameterOption.Optional, where
            elif formal.option == defs.OpSchema.FormalParameterOption.Single:
                assert old.inputs[index].option == formal.option, where
        assert len(old.outputs) <= len(new.outputs), where


_SOFTMAX: tuple[str, ...] = ()


def test_attributes_that_came_later_never_changed_their_default() -> None:
    """Defaults are written out at the version a model names and again at the newest; one that came in between and then
    changed would be missed."""
    for domain, op, first in {(d, o, versions(d, o)[0]) for d, o, _ in STEPS}:
        chain = [onnx_schema(domain, op, v) for v in versions(domain, op)]
        introduced: dict[str, object] = {}
        for schema in chain[1:]:
            assert schema is not None
            for name, attribute in schema.attributes.items():
                if chain[0] is not None and name not in chain[0].attributes:
                    known = introduced.setdefault(name, _default(attribute))
                    changed_by_rule = (domain, op, name) in _CHANGED_DEFAULTS
                    assert known == _default(attribute) or changed_by_rule, f"{op} since {first}: {name}"


_CHANGED_DEFAULTS: set[tuple[str, str, str]] = set()
