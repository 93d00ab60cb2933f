"""What operators' rules do to an answer: candidates, scores, places, reasons. Never decides which rules are in force.

A room that a rule hides is in no list to begin with (`room_filter.py`); a pinned one has its place where it may be
shown at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.recommend.global_lists import GlobalLists, keyed, largest
from actors.recommend.schema import ReasonSource
from actors.requests.room_filter import NONE, Slots
from actors.requests.wanted_goals import RuledGoals, goals_by_name
from actors.state.room_table import RoomTable
from actors.state.ruled_rooms import MatchedRule, RuleView

Floats = NDArray[np.float32]
NEAR = 16  # rooms of a pin that become candidates: a pin of a category takes the best of them
SAID = {"pin": "pinned", "boost": "boosted", "bury": "buried"}


@dataclass(frozen=True, slots=True)
class Pin:
    """A room's place in an answer by a rule: index counts from 0."""

    slot: int
    index: int
    rule: MatchedRule


@dataclass(frozen=True, slots=True)
class RuleReason:
    """The reason of a room that a rule has moved, and the rule's name."""

    source: ReasonSource
    reason: str
    rule: str


class RuleEffects:
    """Reads the rules of the live rooms for answers. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, global_lists: GlobalLists, view: RuleView | None = None) -> None:
        """view: of the viewers whose answers these are; None: of all for whom no variant switches a rule."""
        self._ruled = rooms.ruled.everyone if view is None else view
        self._rooms = rooms
        self._global_lists = global_lists
        self._found: Slots = NONE
        self._as_of = (-1, -1)
        self._by_view: dict[RuleView, RuleEffects] = {}
        self._goals: RuledGoals | None = None

    def under(self, on: frozenset[str], off: frozenset[str]) -> RuleEffects:
        """The effects for viewers whose variants switch rules of these names on and off."""
        if not (on or off):
            return self
        view = self._rooms.ruled.view(on, off)
        return self._by_view.get(view) or self._by_view.setdefault(
            view, RuleEffects(self._rooms, self._global_lists, view)
        )

    def goals(self) -> RuledGoals | None:
        """The goals of the rule that says what lists are for; None where none does, or none that can be read here."""
        rule = self._ruled.goals
        if rule is None:
            return None
        if self._goals is None or self._goals.rule is not rule:
            self._goals = RuledGoals(rule, goals_by_name(rule.goals))
        return self._goals

    def candidates(self) -> Slots:
        """Rooms that rules bring forward, so that they are candidates for everybody, int64 [N]; found when renewed."""
        ruled = self._ruled
        if not (ruled.num_weighed or ruled.num_pinned):
            return NONE
        as_of = (self._rooms.ruled.version, self._global_lists.renewed_ms)
        if as_of != self._as_of:
            self._found, self._as_of = self._find(), as_of
        return self._found

    def gains(self, slots_K: Slots) -> Floats | None:
        """What the score of each of K rooms gains, below 0 what it loses, float32 [K]; None for nothing."""
        if not self._ruled.num_weighed:
            return None
        gains_K: Floats = self._ruled.weight_N[slots_K]
        return gains_K if gains_K.any() else None

    def pins(self, slots_N: Slots, before: int = 0) -> tuple[Pin, ...]:
        """The places of pinned rooms among the N candidates of a request, the best first; in the order of the places.

        before: number of rooms on earlier pages, which are no candidates any more. Of each rule the best rooms have its
        places. Where two have one place, that of the first name has it, and the other the next.
        """
        ruled = self._ruled
        if not ruled.num_pinned:
            return ()
        named: dict[str, list[int]] = {}
        for slot in slots_N[ruled.pinned_N[slots_N]].tolist():
            for matched in ruled.of[slot]:
                if matched.rule.action == "pin":
                    named.setdefault(matched.rule.name, []).append(slot)
        found: list[Pin] = []
        taken: set[int] = set()
        free = 0
        for matched in ruled.pins:
            rule = matched.rule
            first = max(rule.position - 1, before)  # earlier places were on earlier pages
            left = [slot for slot in named.get(rule.name, ()) if slot not in taken]
            for slot in left[: max(0, rule.position - 1 + rule.most - first)]:
                free = max(free, first - before)
                found.append(Pin(slot, free, matched))
                taken.add(slot)
                free += 1
        return tuple(found)

    def reason(self, slot: int, pinned: MatchedRule | None = None) -> RuleReason | None:
        """The reason of a room that a rule has moved most; None where none has. pinned: the rule of its place."""
        if slot not in self._ruled.of:
            return None
        matched = pinned or self._heaviest(slot)
        if matched is None:
            return None
        rule = matched.rule
        said = SAID[rule.action]
        return RuleReason(said, rule.reason or f"{said} by the rule {rule.name}", rule.name)  # type: ignore[arg-type]

    def _heaviest(self, slot: int) -> MatchedRule | None:
        """The rule that has most part in a room's gain or loss."""
        gain = float(self._ruled.weight_N[slot])
        if not gain:
            return None
        return max(self._ruled.of[slot], key=lambda matched: matched.weight * gain)

    def _find(self) -> Slots:
        """The best of the rooms with a gain, and the best of each pin, by what all viewers share of the score."""
        rooms, ruled, size = self._rooms, self._ruled, self._global_lists.size
        weighed = ruled.weighed()
        gaining = weighed[ruled.weight_N[weighed] > 0]
        worth_N = keyed(self._global_lists.sum_N, rooms, gaining) + ruled.weight_N[gaining]
        lists = [gaining[largest(worth_N, size)]]
        by_pin: dict[str, list[int]] = {}
        for slot, rules in ruled.of.items():
            for matched in rules:
                if matched.rule.action == "pin":
                    by_pin.setdefault(matched.rule.name, []).append(slot)
        for slots in by_pin.values():
            pinned = np.array(slots, np.int64)
            lists.append(pinned[largest(keyed(self._global_lists.sum_N, rooms, pinned), NEAR)])
        return np.unique(np.concatenate(lists))


def placed(places: Sequence[int], pinned: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """Places in order, with the pinned ones, (index, place) by index, put between; at most `limit`.

    A pin beyond the limit is left for the next page; it comes at the end where there is nothing else.
    """
    order = list(places)
    for index, place in pinned:
        if index < limit or len(order) < limit:
            order.insert(min(index, len(order)), place)
    return order[:limit]
