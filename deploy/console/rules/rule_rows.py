"""Operators' rules as rows of a table. Never asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.console.shown_text import NAME, shown
from deploy.terminal.rule_words import does, has_no_rooms, of, state
from tidecast_client import Rule

LISTED = 40  # an installation may have 1,000: `tidecast rules` lists all of them


def rule_rows(rules: Sequence[Rule], now_ms: int) -> tuple[dict[str, Any], ...]:
    """A row per rule, those in force first, then by name; LISTED at most."""
    ordered = sorted(rules, key=lambda rule: (not rule.in_force, rule.name))[:LISTED]
    return tuple(
        {
            "id": rule.name,
            "name": shown(rule.name, NAME),
            "does": does(rule),
            "of": shown(of(rule), 200),
            "rooms": "" if has_no_rooms(rule) else f"{rule.live_rooms} room{'' if rule.live_rooms == 1 else 's'} now",
            "state": state(rule, now_ms),
            "tone": _tone(rule),
            "reason": shown(rule.reason),
            "deletable": rule.origin == "put",
        }
        for rule in ordered
    )


def _tone(rule: Rule) -> str:
    if not rule.in_force:
        return ""
    return "good" if rule.live_rooms or has_no_rooms(rule) else "warn"


def heading(rules: Sequence[Rule]) -> str:
    """How many there are, and how many of them are in force."""
    if not rules:
        return "none yet"
    in_force = sum(rule.in_force for rule in rules)
    more = f"; {LISTED} are listed, `tidecast rules` lists all" if len(rules) > LISTED else ""
    return f"{in_force} of {len(rules)} in force{more}"
