"""Whose goals count for a list: the request's, its viewer's variant's, an operators' rule's or the configuration's.

Never reads any of them from a log or a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from actors.requests.goals import AskedGoals, ConfiguredGoals, Goals, IgnoredWeight, goals_of
from streaming.operator_rule import OperatorRule


class RuledGoals(NamedTuple):
    """The goals of an operators' rule; None where none of its weights means anything here."""

    rule: OperatorRule
    goals: Goals | None


class WantedGoals(msgspec.Struct, frozen=True):
    """The goals of a list. are_usual: whether they are the configuration's. rule: whose they are, "" for no rule's."""

    goals: Goals
    are_usual: bool = False
    rule: str = ""

    def used(self, *, has_heads: bool) -> bool | UnsetType:
        """What an answer says of them. has_heads: whether a ranker's heads scored the rooms."""
        return UNSET if self.are_usual else has_heads

    def ignored(self, without_head: Sequence[IgnoredWeight]) -> list[IgnoredWeight] | UnsetType:
        """The weights that an answer says do not count. without_head: those that the version has no head for."""
        return UNSET if self.are_usual or not without_head else [*without_head]

    @property
    def by_rule(self) -> str | UnsetType:
        """The rule that an answer names."""
        return self.rule or UNSET


def wanted_goals(
    asked: AskedGoals, of_variant: Goals | None, of_rule: RuledGoals | None, configured: ConfiguredGoals
) -> WantedGoals:
    """The goals of a list: the first of these four that there are. Raises RequestError: an unknown name."""
    if asked is not None:
        return WantedGoals(goals_of(asked, configured))
    if of_variant is not None:
        return WantedGoals(of_variant)
    if of_rule is not None and of_rule.goals is not None:
        return WantedGoals(of_rule.goals, rule=of_rule.rule.name)
    return WantedGoals(goals_of(None, configured), are_usual=True)


def goals_by_name(weights: Mapping[str, float]) -> Goals | None:
    """Goals of weights by name. None where none is known, or nothing is worth anything.

    Names that this build does not know are left out: another build of the installation has written them.
    """
    known = {name: weight for name, weight in weights.items() if name in Goals.__struct_fields__}
    try:
        return msgspec.convert(known, Goals) if known else None
    except msgspec.ValidationError:
        return None
