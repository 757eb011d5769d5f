"""Elementwise ops with numpy broadcasting: arithmetic, comparison, logic, activations, casts."""

from __future__ import annotations

from arenaut.ir.record import OpRecord

RECORDS: tuple[OpRecord, ...] = ()
