"""Owns the bounds of a viewer's profile. Never folds one."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """Bounds of a profile, and when a visit is over."""

    visits: int = 50  # newest kept
    habits: int = 100  # streamers remembered, the least recent are forgotten first
    recent_events: int = 16  # events among which a duplicate is recognised
    visit_gap_s: int = 1_800  # after less silence an enter into the room where the viewer is continues the visit
    presence_timeout_s: int = 1_800  # without a word of them in their room for so long, a viewer is taken to have left;
    # with players that say `watch` every minute, 180 is enough; with enter and leave alone, the longest visit
    max_gap_watch_s: int = 1_800  # most that a visit without `watch` events counts as watched, from enter to leave

    def __post_init__(self) -> None:
        for name in ("visits", "habits", "recent_events", "presence_timeout_s"):
            if getattr(self, name) < 1:
                raise ConfigError(f"profile.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("visit_gap_s", "max_gap_watch_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"profile.{name} is {getattr(self, name)}; it must not be negative")
