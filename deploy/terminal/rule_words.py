"""An operator's rule in words: what it does, of which rooms, and whether it is in force. Never asks for one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidecast_client.types import Rule

KINDS = ("rooms", "streamers", "categories", "languages", "tags")
WEIGHTLESS = ("hide", "goals")


def does(rule: Rule) -> str:
    """What it does, such as "pin 1-3" or "boost 1.5"."""
    if rule.action == "pin":
        last = rule.position + rule.most - 1
        return f"pin {rule.position}" if last == rule.position else f"pin {rule.position}-{last}"
    return rule.action if rule.action in WEIGHTLESS else f"{rule.action} {rule.weight:g}"


def of(rule: Rule) -> str:
    """Which rooms it is about, such as "categories chess; languages en, pt", or what lists are for by it."""
    if has_no_rooms(rule):
        return "all lists: " + ", ".join(f"{name} {worth:g}" for name, worth in rule.goals.items())
    return "; ".join(f"{kind} {', '.join(values)}" for kind in KINDS if (values := getattr(rule, kind)))


def num_rooms(rule: Rule) -> str:
    """How many live rooms it is about now; "-" where it is about no room."""
    return "-" if has_no_rooms(rule) else str(rule.live_rooms)


def has_no_rooms(rule: Rule) -> bool:
    """Whether it is about lists, and not about rooms."""
    return rule.action == "goals"


def state(rule: Rule, now_ms: int) -> str:
    """Whether it is in force, until when, whether it is one of the configuration, and which experiments try it."""
    origin = "configured" if rule.origin == "configuration" else ""
    if rule.in_force:
        until = time.strftime("until %d %b %H:%M", time.localtime(rule.ends_at_ms / 1000)) if rule.ends_at_ms else ""
        said = " ".join(filter(None, ("in force", until)))
    elif not rule.enabled:
        said = "switched off"
    else:
        said = "begins later" if rule.starts_at_ms is not None and rule.starts_at_ms > now_ms else "over"
    tried = f"tried in {', '.join(rule.experiments)}" if rule.experiments else ""
    return ", ".join(filter(None, (said, origin, tried)))
