"""The record of an operator's rule, and its bounds. Never says what a rule does to an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streaming.events import AtMs, Id, InternalRecord, Label, Language

MAX_RULES = 1_000  # that an installation has
MAX_VALUES = 200  # rooms, streamers, categories, languages and tags that one rule names, together
MAX_WEIGHT = 20.0  # a room's score has some 25 at most, and its log odds less
MAX_POSITION = 100  # the last place of the longest answer
MAX_REASON_LENGTH = 200
MAX_NAME_LENGTH = 64
MAX_GOALS = 16  # outcomes that have a weight
MAX_GOAL = 100.0
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

RuleName = Annotated[
    str, Meta(pattern=NAME, max_length=MAX_NAME_LENGTH, description='letters, digits, ".", "_" and "-"')
]
RuleAction = Literal["pin", "boost", "bury", "hide", "goals"]
RuleIds = Annotated[tuple[Id, ...], Meta(max_length=MAX_VALUES)]
RuleLabels = Annotated[tuple[Annotated[Label, Meta(min_length=1)], ...], Meta(max_length=MAX_VALUES)]
RuleLanguages = Annotated[tuple[Annotated[Language, Meta(min_length=1)], ...], Meta(max_length=MAX_VALUES)]
RuleWeight = Annotated[float, Meta(ge=0.01, le=MAX_WEIGHT)]
RulePosition = Annotated[int, Meta(ge=1, le=MAX_POSITION)]
RuleReason = Annotated[str, Meta(max_length=MAX_REASON_LENGTH)]
# weights by outcome; which outcomes there are, the requests' goals say (actors/requests/goals.py)
GoalWeights = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)], Annotated[float, Meta(ge=0, le=MAX_GOAL)]],
    Meta(max_length=MAX_GOALS),
]


class RuleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rule does to which live rooms: those that have, of each list which is not empty, one of its values.

    One of goals is about no rooms: it says what lists are for where a request does not.
    """

    action: RuleAction
    rooms: RuleIds = ()
    streamers: RuleIds = ()
    categories: RuleLabels = ()  # whole names; letter case and Unicode form aside
    languages: RuleLanguages = ()  # "pt" finds "pt-BR" too
    tags: RuleLabels = ()  # whole tags, compared as categories are
    weight: RuleWeight = 1.0  # of boost and bury: what the score gains or loses, and its log odds with a model
    position: RulePosition = 1  # of pin: the place of the first room, from 1
    most: RulePosition = 1  # of pin: how many rooms, the best of those that the rule names
    starts_at_ms: AtMs | None = None  # does nothing before
    ends_at_ms: AtMs | None = None  # does nothing from then on
    enabled: bool = True  # false: does nothing
    reason: RuleReason = ""  # what people read as the reason; "": a text with the rule's name
    # of goals: what each outcome is worth, by the names of a request's goals
    goals: GoalWeights = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError: it names no rooms, or too many values, or it ends before it starts."""
        _require(self)


class OperatorRule(InternalRecord, frozen=True, kw_only=True):
    """A rule under its name, which is the record's key: a live room is named by one value of each list not empty.

    One of goals is about no rooms: it says what lists are for where a request does not.
    """

    name: RuleName
    action: RuleAction
    at_ms: AtMs  # when it was put
    rooms: RuleIds = ()
    streamers: RuleIds = ()
    categories: RuleLabels = ()  # whole names; letter case and Unicode form aside
    languages: RuleLanguages = ()  # "pt" finds "pt-BR" too
    tags: RuleLabels = ()  # whole tags, compared as categories are
    weight: RuleWeight = 1.0  # of boost and bury: what the score gains or loses, and its log odds with a model
    position: RulePosition = 1  # of pin: the place of the first room, from 1
    most: RulePosition = 1  # of pin: how many rooms, the best of those that the rule names
    starts_at_ms: AtMs | None = None  # does nothing before
    ends_at_ms: AtMs | None = None  # does nothing from then on
    enabled: bool = True  # false: does nothing
    reason: RuleReason = ""  # what people read as the reason; "": a text with the rule's name
    # of goals: what each outcome is worth, by the names of a request's goals
    goals: GoalWeights = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError: it names no rooms, or too many values, or it ends before it starts."""
        _require(self)

    def in_force(self, now_ms: int) -> bool:
        """Whether it does anything for every viewer at a time, in ms by the clock."""
        return self.enabled and self.in_time(now_ms)

    def in_time(self, now_ms: int) -> bool:
        """Whether it has started and not ended, switched off or not."""
        begun = self.starts_at_ms is None or self.starts_at_ms <= now_ms
        return begun and (self.ends_at_ms is None or now_ms < self.ends_at_ms)


def rule_of(name: str, body: RuleBody, at_ms: int) -> OperatorRule:
    """The record of a rule. Raises msgspec.ValidationError: the name cannot be one."""
    fields: dict[str, Any] = msgspec.structs.asdict(body)
    return OperatorRule(name=msgspec.convert(name, RuleName), at_ms=at_ms, **fields)


def _require(rule: RuleBody | OperatorRule) -> None:
    num = len(rule.rooms) + len(rule.streamers) + len(rule.categories) + len(rule.languages) + len(rule.tags)
    is_of_goals = rule.action == "goals"
    if is_of_goals and not rule.goals:
        raise ValueError("a rule of the action goals needs goals, the weights of outcomes")
    if not is_of_goals and rule.goals:
        raise ValueError(f"goals are of the action goals alone; this rule's is {rule.action}")
    if is_of_goals and num:
        raise ValueError(
            "a rule of the action goals is about all lists, and not about rooms: leave out rooms, streamers, "
            "categories, languages and tags"
        )
    if not num and not is_of_goals:
        raise ValueError("a rule needs at least one of rooms, streamers, categories, languages and tags")
    if num > MAX_VALUES:
        raise ValueError(f"a rule names {num} values in all its lists; at most {MAX_VALUES}")
    if rule.starts_at_ms is not None and rule.ends_at_ms is not None and rule.starts_at_ms >= rule.ends_at_ms:
        raise ValueError(f"starts_at_ms {rule.starts_at_ms} is not before ends_at_ms {rule.ends_at_ms}")
