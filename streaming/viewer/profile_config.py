"""The settings of viewer profiles. Never aggregates one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streaming.section import Count, CountOrZero, Section


@dataclass(frozen=True, slots=True)
class ProfileConfig(Section):
    """The bounds of a profile, and when a visit is over."""

    section: ClassVar[str] = "profile"

    visits: Count = 50  # newest kept
    habits: Count = 100  # streamers remembered, the least recent are forgotten first
    # the profile of a viewer of whom nothing arrived for so long is deleted; 0: none is
    retention_days: CountOrZero = 90
    # kept of what a viewer demands: past these, what was taken back is forgotten first, then the oldest
    hidden_rooms: Count = 100
    blocked_streamers: Count = 500
    not_interested: Count = 50
    recent_events: Count = 16  # events among which a duplicate is recognised
    # after less silence an enter into the room where the viewer is continues the visit
    visit_gap_s: CountOrZero = 1_800
    # a viewer without an event in their room for so long is taken to have left;
    # where players report `watch` every minute, 180 is enough; with enter and leave alone, the longest visit
    presence_timeout_s: Count = 1_800
    # the most watch time, from enter to leave, that a visit without `watch` events counts
    max_gap_watch_s: CountOrZero = 1_800
