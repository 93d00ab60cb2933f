"""What the operators' rules in force mean for each live room, by slot. Never knows times, never scores.

Rooms are matched when a rule comes into force, and when a room begins or has other labels: an answer reads columns.
Viewers whose variants switch rules have columns of their own; what is hidden is hidden for all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streaming.events import RoomId, RoomState, StreamerId
from streaming.operator_rule import MAX_WEIGHT, OperatorRule
from training.content.spelling import category_key, language_key, speaks

if TYPE_CHECKING:
    from actors.state.room_table import RoomTable

SIGN = {"boost": 1.0, "bury": -1.0}
NO_NAMES: frozenset[str] = frozenset()


class MatchedRule:
    """A rule in force, with its labels as keys for comparison."""

    __slots__ = ("_categories", "_languages", "_rooms", "_streamers", "_tags", "places", "rule", "weight")

    def __init__(self, rule: OperatorRule) -> None:
        self.rule = rule
        self.weight = SIGN.get(rule.action, 0.0) * rule.weight
        self._rooms, self._streamers = frozenset(rule.rooms), frozenset(rule.streamers)
        self._categories = frozenset(map(category_key, rule.categories))
        self._tags = frozenset(map(category_key, rule.tags))
        self._languages = tuple(map(language_key, rule.languages))
        self.places = self._listed_under()

    def names(self, state: RoomState) -> bool:
        """Whether the rule is about a room."""
        return (
            (not self._rooms or state.room in self._rooms)
            and (not self._streamers or state.streamer in self._streamers)
            and (not self._categories or category_key(state.category) in self._categories)
            and (not self._tags or not self._tags.isdisjoint(map(category_key, state.tags)))
            and (not self._languages or self._is_spoken(language_key(state.language)))
        )

    def slots(self, rooms: RoomTable) -> Iterable[int]:
        """Slots of the live rooms that the rule is about; none where it is about lists."""
        if self.rule.action == "goals":
            return []
        return [slot for slot in self._near(rooms) if self.names(rooms.by_slot[slot].state)]

    def _is_spoken(self, language: str) -> bool:
        return any(speaks(language, wanted) for wanted in self._languages)

    def _near(self, rooms: RoomTable) -> list[int]:
        """Slots among which those of the rule are, by one of its lists: the one that most likely names few."""
        if self._rooms:
            return [rooms.snapshots[RoomId(room)].slot for room in self._rooms if RoomId(room) in rooms.snapshots]
        if self._streamers:
            rosters = (rooms.roster.of(StreamerId(streamer)) or {} for streamer in self._streamers)
            return [slot for roster in rosters for slot in roster.values()]
        live = rooms.slots()
        if self._categories:
            numbers = [rooms.categories.number(category) for category in self._categories]
            live = live[np.isin(rooms.category_N[live], numbers)]
        elif self._languages:
            numbers = [number for language, number in rooms.languages.items() if self._is_spoken(language)]
            live = live[np.isin(rooms.language_N[live], numbers)]
        return [*live.tolist()]

    def _listed_under(self) -> tuple[tuple[str, str], ...]:
        """Under which of a room's labels the rule is looked up when a room begins."""
        if self._rooms:
            return tuple(("room", room) for room in self._rooms)
        if self._streamers:
            return tuple(("streamer", streamer) for streamer in self._streamers)
        if self._categories:
            return tuple(("category", category) for category in self._categories)
        if self._tags:
            return tuple(("tag", tag) for tag in self._tags)
        return tuple({("language", language.partition("-")[0]) for language in self._languages})


class RuleView:
    """What the rules that some viewers are under mean for each live room, by slot. `RuledRooms` keeps it."""

    def __init__(self, max_rooms: int, on: frozenset[str] = NO_NAMES, off: frozenset[str] = NO_NAMES) -> None:
        """on: names of rules that hold here though they are switched off. off: of those that do not hold here."""
        self.of: dict[int, tuple[MatchedRule, ...]] = {}  # rules of a slot, by name; no entry where there are none
        self.pins: tuple[MatchedRule, ...] = ()  # by position, then by name
        self.weight_N = np.zeros(max_rooms, np.float32)  # what a room's score gains; below 0: loses
        self.pinned_N = np.zeros(max_rooms, np.bool_)  # whether a pin names the room
        self.num_weighed = self.num_pinned = 0  # slots of either
        self.goals: OperatorRule | None = None  # the rule that says what lists are for, the first by name
        self._on, self._off = on, off

    def weighed(self) -> NDArray[np.int64]:
        """Slots of rooms whose score a rule changes, int64 [N], in no order."""
        return np.array([slot for slot in self.of if self.weight_N[slot]], np.int64)

    def force(self, in_force: Iterable[MatchedRule]) -> None:
        """Takes what is about no single room from the rules in force for some viewers or all."""
        holding = [one for one in in_force if self._holds(one.rule)]
        pins = (one for one in holding if one.rule.action == "pin")
        self.pins = tuple(sorted(pins, key=lambda one: (one.rule.position, one.rule.name)))
        goals = (one.rule for one in holding if one.rule.action == "goals")
        self.goals = min(goals, key=lambda rule: rule.name, default=None)

    def set(self, slot: int, rules: Iterable[MatchedRule]) -> None:
        """Sets the columns of a slot by its rules in force for some viewers or all, in the order of their names."""
        holding = tuple([one for one in rules if self._holds(one.rule)])
        if holding:
            self.of[slot] = holding
        else:
            self.of.pop(slot, None)
        weight = min(max(math.fsum(one.weight for one in holding), -MAX_WEIGHT), MAX_WEIGHT)
        is_pinned = any(one.rule.action == "pin" for one in holding)
        self.num_weighed += bool(weight) - bool(self.weight_N[slot])
        self.num_pinned += is_pinned - bool(self.pinned_N[slot])
        self.weight_N[slot], self.pinned_N[slot] = weight, is_pinned

    def _holds(self, rule: OperatorRule) -> bool:
        return (rule.enabled or rule.name in self._on) and rule.name not in self._off


class RuledRooms:
    """The rules of each live room, and columns made of them. The caller holds the tables' lock."""

    def __init__(self, max_rooms: int) -> None:
        self.hidden: set[int] = set()  # slots of rooms that are in no list
        self.of: dict[int, tuple[MatchedRule, ...]] = {}  # rules of a slot, for whichever viewers, by name
        self.everyone = RuleView(max_rooms)  # of viewers for whom no variant switches a rule
        self.version = 0  # number of changes to the rules in force or to a room's
        self._max_rooms = max_rooms
        self._views: dict[tuple[frozenset[str], frozenset[str]], RuleView] = {(NO_NAMES, NO_NAMES): self.everyone}
        self._in_force: dict[str, MatchedRule] = {}
        self._under: dict[tuple[str, str], list[MatchedRule]] = {}

    def view(self, on: frozenset[str], off: frozenset[str]) -> RuleView:
        """The columns for viewers whose variants switch these rules on and off; made when first asked for, and kept."""
        found = self._views.get((on, off))
        if found is None:
            found = self._views[on, off] = RuleView(self._max_rooms, on, off)
            found.force(self._in_force.values())
            for slot, rules in self.of.items():
                found.set(slot, rules)
        return found

    def force(self, rules: Mapping[str, OperatorRule], rooms: RoomTable) -> None:
        """Puts exactly these rules, by name, in force. Rules that stay cost nothing.

        One that is switched off holds in the views where a variant switches it on.
        """
        for name, matched in list(self._in_force.items()):
            if rules.get(name) != matched.rule:
                self._withdraw(matched, rooms)
        for name, rule in rules.items():
            if name not in self._in_force:
                self._introduce(MatchedRule(rule), rooms)
        for view in self._views.values():
            view.force(self._in_force.values())
        self.version += 1

    def place(self, slot: int, state: RoomState) -> None:
        """Finds the rules of a room that has begun, or has other labels now."""
        if not self._in_force:
            return
        found = {matched.rule.name: matched for matched in self._listed(state) if matched.names(state)}
        self._set(slot, tuple(found[name] for name in sorted(found)))

    def leave(self, slot: int) -> None:
        """Forgets a room that has ended."""
        if slot in self.of:
            self._set(slot, ())

    def num_rooms(self) -> Mapping[str, int]:
        """Number of live rooms that each rule in force, for whichever viewers, is about, by its name."""
        return Counter(one.rule.name for rules in self.of.values() for one in rules)

    def _listed(self, state: RoomState) -> Iterable[MatchedRule]:
        under = self._under
        yield from under.get(("room", state.room), ())
        yield from under.get(("streamer", state.streamer), ())
        yield from under.get(("category", category_key(state.category)), ())
        yield from under.get(("language", language_key(state.language).partition("-")[0]), ())
        for tag in state.tags:
            yield from under.get(("tag", category_key(tag)), ())

    def _introduce(self, matched: MatchedRule, rooms: RoomTable) -> None:
        self._in_force[matched.rule.name] = matched
        for place in matched.places:
            self._under.setdefault(place, []).append(matched)
        for slot in matched.slots(rooms):
            rules = (*self.of.get(slot, ()), matched)
            self._change(slot, tuple(sorted(rules, key=lambda one: one.rule.name)), rooms)

    def _withdraw(self, matched: MatchedRule, rooms: RoomTable) -> None:
        del self._in_force[matched.rule.name]
        for place in matched.places:
            self._under[place].remove(matched)
            if not self._under[place]:
                del self._under[place]
        for slot in [slot for slot, rules in self.of.items() if matched in rules]:
            self._change(slot, tuple(one for one in self.of[slot] if one is not matched), rooms)

    def _change(self, slot: int, rules: tuple[MatchedRule, ...], rooms: RoomTable) -> None:
        self._set(slot, rules)
        rooms.list_anew(slot)

    def _set(self, slot: int, rules: tuple[MatchedRule, ...]) -> None:
        """Sets the rules of a slot, and its columns."""
        if rules == self.of.get(slot, ()):
            return
        if rules:
            self.of[slot] = rules
        else:
            del self.of[slot]
        if any(one.rule.action == "hide" for one in rules):
            self.hidden.add(slot)
        else:
            self.hidden.discard(slot)
        for view in self._views.values():
            view.set(slot, rules)
        self.version += 1
