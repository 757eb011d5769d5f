"""The public names, their documentation, and what they cost to import."""

from __future__ import annotations

import inspect

import pytest

import arenaut
from arenaut.native.target import current_target


@pytest.mark.parametrize("name", sorted(arenaut.__all__))
def test_public_names_exist_and_are_documented(name: str) -> None:
    thing = getattr(arenaut, name)
    if inspect.isclass(thing) or inspect.isfunction(thing) or inspect.ismodule(thing):
        assert inspect.getdoc(thing), f"{name} has no docstring"


def test_public_methods_are_documented() -> None:
    for name, member in inspect.getmembers(arenaut.Model):
        if not name.startswith("_"):
            assert inspect.getdoc(member), f"Model.{name} has no docstring"


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = arenaut.no_such_name  # type: ignore[attr-defined]


def test_every_error_has_one_base() -> None:
    for name in arenaut.errors.__all__:
        assert issubclass(getattr(arenaut.errors, name), arenaut.errors.ArenautError)


def test_kernel_info_says_what_was_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    full = arenaut.kernel_info()
    assert full["tier"] in ("baseline", "v3", "v4") and full["rows"]["matmul_f32"] == full["tier"]
    monkeypatch.setenv("ARENAUT_ISA_MAX", "baseline")
    capped = arenaut.kernel_info()
    assert capped["tier"] == "baseline" and set(capped["rows"].values()) == {"baseline"}
    monkeypatch.setenv("ARENAUT_ISA_MAX", "avx1024")
    with pytest.raises(ValueError, match="avx1024"):
        arenaut.kernel_info()


def test_features_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARENAUT_ISA_WITHOUT", raising=False)
    found = arenaut.kernel_info()["features"]
    for name in found:
        monkeypatch.setenv("ARENAUT_ISA_WITHOUT", name)
        assert arenaut.kernel_info()["features"] == tuple(f for f in found if f != name)
    monkeypatch.setenv("ARENAUT_ISA_WITHOUT", ",".join(found))
    assert arenaut.kernel_info()["features"] == () and current_target().features == 0
    monkeypatch.setenv("ARENAUT_ISA_WITHOUT", "amx,telepathy")
    with pytest.raises(ValueError, match="telepathy"):
        arenaut.kernel_info()
