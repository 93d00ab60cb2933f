"""An operator's rule in words: what it does, of which rooms, and whether it is in force. Never asks for one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidecast_client.types import Rule

KINDS = ("rooms", "streamers", "categories", "languages", "tags")


def does(rule: Rule) -> str:
    """What it does, such as "pin 1-3" or "boost 1.5"."""
    if rule.action == "pin":
        last = rule.position + rule.most - 1
        return f"pin {rule.position}" if last == rule.position else f"pin {rule.position}-{last}"
    return rule.action if rule.action == "hide" else f"{rule.action} {rule.weight:g}"


def of(rule: Rule) -> str:
    """Which rooms it is about, such as "categories chess; languages en, pt"."""
    return "; ".join(f"{kind} {', '.join(values)}" for kind in KINDS if (values := getattr(rule, kind)))


def state(rule: Rule, now_ms: int) -> str:
    """Whether it is in force, until when, and whether it is one of the configuration."""
    origin = "configured" if rule.origin == "configuration" else ""
    if rule.in_force:
        until = time.strftime("until %d %b %H:%M", time.localtime(rule.ends_at_ms / 1000)) if rule.ends_at_ms else ""
        said = " ".join(filter(None, ("in force", until)))
    elif not rule.enabled:
        said = "switched off"
    else:
        said = "begins later" if rule.starts_at_ms is not None and rule.starts_at_ms > now_ms else "over"
    return ", ".join(filter(None, (said, origin)))
