"""A rule as somebody types it into a form, and the request that it makes. Never sends one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from tidecast_client import RuleBody

RuleAction = Literal["pin", "boost", "bury", "hide"]
Kind = Literal["room", "streamer", "category", "language", "tag"]

ACTIONS: tuple[RuleAction, ...] = get_args(RuleAction)
WEIGHED: tuple[RuleAction, ...] = ("boost", "bury")
LISTS: Mapping[Kind, str] = MappingProxyType(
    {"room": "rooms", "streamer": "streamers", "category": "categories", "language": "languages", "tag": "tags"}
)
ENDS_S: Mapping[str, int] = MappingProxyType(
    {"in 10 minutes": 600, "in an hour": 3_600, "in 8 hours": 28_800, "in a day": 86_400, "never": 0}
)
SOON = "in an hour"  # unless somebody chooses: a rule that was put to try it must not stay


@dataclass(frozen=True, slots=True)
class TypedRule:
    """What stands in the form's fields. values: with commas between them. ends: a key of ENDS_S.

    weight: counts for boost and bury. place: counts for pin. None: the field is empty.
    """

    name: str
    action: RuleAction
    kind: Kind
    values: str
    weight: float | None = 1.0
    place: float | None = 1
    ends: str = SOON
    reason: str = ""

    @property
    def named(self) -> list[str]:
        """The values one by one."""
        return [one for part in self.values.split(",") if (one := part.strip())]

    @property
    def missing(self) -> list[str]:
        """What must be typed before it can be sent."""
        return [what for what, value in (("a name", self.name), (f"a {self.kind}", self.named)) if not value]

    def body(self, now_ms: int) -> RuleBody:
        """The request's body. A field that is empty is sent as 0, which the API refuses with what may stand there.

        A pin of several values is for as many rooms, the best of those that it is about.
        """
        fields: dict[str, Any] = {LISTS[self.kind]: self.named, "reason": self.reason}
        if self.action in WEIGHED:
            fields["weight"] = float(self.weight or 0)
        if self.action == "pin":
            fields |= {"position": int(self.place or 0), "most": max(1, len(self.named))}
        if ends_s := ENDS_S[self.ends]:
            fields["ends_at_ms"] = now_ms + 1_000 * ends_s
        return RuleBody(action=self.action, **fields)
