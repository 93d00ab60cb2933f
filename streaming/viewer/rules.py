"""What a viewer demands: rooms hidden, streamers blocked, rooms of no interest. Never looks at visits or at a clock.

The newest event about a room or streamer counts, whatever the order of arrival; of one millisecond the demand itself,
and not its undoing. So a late or repeated event changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec

from streaming.events import Action, Outcome, RoomId, StreamerId, ViewerEvent, ViewerRule
from streaming.viewer.profile_config import ProfileConfig

RuleKind = Literal["hide", "block", "lower"]


class _Demand(NamedTuple):
    kind: RuleKind
    in_force: bool


_DEMANDS: Final[dict[str, _Demand]] = {
    "hide_room": _Demand("hide", True),
    "unhide_room": _Demand("hide", False),
    "block_streamer": _Demand("block", True),
    "unblock_streamer": _Demand("block", False),
    "not_interested": _Demand("lower", True),
    "undo_not_interested": _Demand("lower", False),
}
RULE_ACTIONS: Final[frozenset[Action]] = frozenset(_DEMANDS)  # type: ignore[arg-type]  # they say nothing of presence


_PACKED: Final = msgspec.msgpack.Decoder(tuple[ViewerRule, ...])


class RuleBook:
    """One viewer's rules, bounded by kind: what was taken back is forgotten first, then the oldest. For one thread."""

    __slots__ = ("_most", "_rules")

    def __init__(self, config: ProfileConfig) -> None:
        self._most = {"hide": config.hidden_rooms, "block": config.blocked_streamers, "lower": config.not_interested}
        self._rules: dict[tuple[str, str], ViewerRule] = {}  # by kind and subject

    def apply(self, event: ViewerEvent, at_ms: int) -> Outcome:
        """Applies an event whose action is one of RULE_ACTIONS: APPLIED, DUPLICATE, or STALE after a newer one.

        at_ms: the event's time, not later than its arrival.
        """
        kind, in_force = _DEMANDS[event.action]
        subject = event.room if kind == "hide" else event.streamer
        rule = ViewerRule(kind, subject, at_ms, in_force, event.room if kind == "lower" else "")
        known = self._rules.get((kind, subject))
        if known is not None and _newness(rule) <= _newness(known):
            return Outcome.DUPLICATE if rule == known else Outcome.STALE
        self._rules[kind, subject] = rule
        self._forget(kind)
        return Outcome.APPLIED

    def rules(self) -> tuple[ViewerRule, ...]:
        """All rules, those that were taken back as well: an older event that comes late loses against them."""
        return tuple(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)

    def clear(self) -> None:
        """Forgets all."""
        self._rules.clear()

    def restore(self, rules: Iterable[ViewerRule]) -> None:
        """Continues from the rules of a profile."""
        self._rules = {(rule.kind, rule.subject): rule for rule in rules}

    def _forget(self, kind: str) -> None:
        of_kind = [rule for rule in self._rules.values() if rule.kind == kind]
        if len(of_kind) > self._most[kind]:
            oldest = min(of_kind, key=lambda rule: (rule.in_force, rule.at_ms, rule.subject))
            del self._rules[kind, oldest.subject]


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """A viewer's rules as answers obey them. lowered: what is of no interest, the newest first."""

    hidden: frozenset[RoomId] = frozenset()
    blocked: frozenset[StreamerId] = frozenset()
    lowered: tuple[ViewerRule, ...] = ()


NO_RULES: Final = RulesInForce()


def in_force(rules: Iterable[ViewerRule]) -> RulesInForce:
    """The rules of a profile that are in force. A kind that this build does not know is left out."""
    found = [rule for rule in rules if rule.in_force]
    if not found:
        return NO_RULES
    lowered = sorted((rule for rule in found if rule.kind == "lower"), key=lambda rule: -rule.at_ms)
    return RulesInForce(
        frozenset(RoomId(rule.subject) for rule in found if rule.kind == "hide"),
        frozenset(StreamerId(rule.subject) for rule in found if rule.kind == "block"),
        tuple(lowered),
    )


def unpacked(rules: bytes) -> tuple[ViewerRule, ...]:
    """Reads packed rules. Raises msgspec.DecodeError."""
    return _PACKED.decode(rules)


def _newness(rule: ViewerRule) -> tuple[int, bool, str]:
    return rule.at_ms, rule.in_force, rule.room
