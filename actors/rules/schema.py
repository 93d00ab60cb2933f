"""Operators' rules as callers read them. Never in a log."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.rules.book import KnownRule, Origin
from streaming.operator_rule import RuleAction


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, where it comes from, and what it does now in the replica that answers."""

    name: str
    action: RuleAction
    rooms: tuple[str, ...]
    streamers: tuple[str, ...]
    categories: tuple[str, ...]
    languages: tuple[str, ...]
    tags: tuple[str, ...]
    weight: float
    position: int
    most: int
    starts_at_ms: int | None
    ends_at_ms: int | None
    enabled: bool
    reason: str
    goals: dict[str, float] = {}
    put_at_ms: int  # 0 for one of the configuration
    origin: Origin  # "configuration", or "put" by this API
    replaces_configured: bool  # whether the configuration has another one of this name, which counts no longer
    in_force: bool  # for every viewer of whom no experiment says otherwise
    live_rooms: int  # that it is about now; 0 for one of goals
    experiments: tuple[str, ...] = ()  # those that run and have it on or off for the viewers of a variant


class PutRule(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted: the rule is on the log, and in force in every replica within a second or so."""

    name: str
    put_at_ms: int


class DeletedRule(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted: no rule of this name is put. `restores_configured`: that of the configuration counts again."""

    name: str
    deleted_at_ms: int
    restores_configured: bool


def as_rule(known: KnownRule, *, in_force: bool, live_rooms: int, experiments: tuple[str, ...] = ()) -> Rule:
    """A rule as callers read it."""
    fields: dict[str, Any] = msgspec.structs.asdict(known.rule)
    del fields["v"]
    at_ms = fields.pop("at_ms")
    return Rule(
        **fields,
        put_at_ms=at_ms if known.origin == "put" else 0,
        origin=known.origin,
        replaces_configured=known.hides,
        in_force=in_force,
        live_rooms=live_rooms,
        experiments=experiments,
    )
