"""The goals that the API knows, one field each, as its own record names them. Never has a list of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec.inspect import Metadata, StructType, type_info

from actors.requests import goals
from tidecast_client import Goals


@dataclass(frozen=True, slots=True)
class GoalField:
    """A goal. default: its weight where the others are given and it is not. said: what it is the worth of."""

    name: str
    default: float
    said: str


def goal_fields() -> tuple[GoalField, ...]:
    """The fields of the client's Goals, in its order."""
    said = _said()
    return tuple(
        GoalField(field.name, float(field.default), said.get(field.name, "")) for field in msgspec.structs.fields(Goals)
    )


def _said() -> Mapping[str, str]:
    """The descriptions, which the client has as comments alone."""
    record = type_info(goals.Goals)
    assert isinstance(record, StructType)
    kinds = {field.name: field.type for field in record.fields}
    return {
        name: str((kind.extra_json_schema or {}).get("description", ""))
        for name, kind in kinds.items()
        if isinstance(kind, Metadata)
    }
