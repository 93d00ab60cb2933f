"""Operators' rules as a replica knows them, with what each does there now. Never writes one."""

from __future__ import annotations

from actors.recommend.recommender import Recommender
from actors.rules.book import KnownRule
from actors.rules.schema import Rule, as_rule


class KnownRules:
    """Lists rules from a replica's tables. Touches no network; any thread may ask."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def rules(self) -> list[Rule]:
        """Every rule, by name, in force or not."""
        tables = self._recommender.tables
        with tables.lock:
            self._recommender.now_ms()
            known = [*tables.rules.all()]
            live = tables.rooms.ruled.num_rooms()
            return [self._as_rule(one, live.get(one.rule.name, 0)) for one in known]

    def rule(self, name: str) -> Rule | None:
        """The rule of a name; None where there is none."""
        tables = self._recommender.tables
        with tables.lock:
            self._recommender.now_ms()
            known = tables.rules.get(name)
            return None if known is None else self._as_rule(known, tables.rooms.ruled.num_rooms().get(name, 0))

    def count(self) -> int:
        """Number of rules, in force or not."""
        tables = self._recommender.tables
        with tables.lock:
            return len(tables.rules)

    def _as_rule(self, known: KnownRule, live_rooms: int) -> Rule:
        in_force = self._recommender.tables.rules.is_in_force(known.rule.name)
        switching = [one.name for one in self._recommender.experiments if known.rule.name in one.rules]
        return as_rule(known, in_force=in_force, live_rooms=live_rooms, experiments=tuple(switching))
