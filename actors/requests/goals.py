"""What a list is for, as weights over a learned version's heads, and which weights a request gets.

Never computes a probability.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from actors.settings import MAX_GOAL, RecommendConfig
from streaming.errors import RequestError
from streaming.operator_rule import MAX_NAME_LENGTH

Floats = NDArray[np.float32]

Goal = Annotated[float, Meta(ge=0, le=MAX_GOAL)]
GoalsName = Annotated[str, Meta(max_length=MAX_NAME_LENGTH, examples=["stay-long"])]
IgnoredWeight = Literal["leave"]


class Goals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much each outcome of showing a room is worth; what counts is their ratio.

    A head says how likely the outcome is once the viewer has entered, so a room is worth the probability of entering
    times the weighted mean of what follows. Leaving at once counts against a room: its weight is the worth of not
    doing so.
    """

    enter: Annotated[Goal, Meta(description="worth of entering", examples=[1.0])] = 1.0
    stay: Annotated[Goal, Meta(description="worth of staying for a minute", examples=[2.0])] = 0.0
    interact: Annotated[Goal, Meta(description="worth of a chat message, a like, a gift", examples=[0.5])] = 0.0
    leave: Annotated[
        Goal,
        Meta(
            description="counts against: worth of not leaving at once, within training.leave_s (10 s)", examples=[1.0]
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError: nothing is worth anything."""
        if not self._whole:
            raise ValueError("one of enter, stay, interact and leave must be above 0")

    @property
    def _whole(self) -> float:
        return self.enter + self.stay + self.interact + self.leave

    @property
    def are_default(self) -> bool:
        """Whether entering alone counts, which is the order of a request without goals."""
        return not self.stay and not self.interact and not self.leave

    def without_leave(self) -> Goals:
        """The goals as a version without a head for leaving serves them: leaving is worth nothing.

        Where it was all that had a weight, entering alone counts.
        """
        if not self.leave:
            return self
        kept = self.enter + self.stay + self.interact
        return msgspec.structs.replace(self, leave=0.0) if kept else ENTER_ALONE

    def worth(self, enter_N: Floats, stay_N: Floats, interact_N: Floats, leave_N: Floats | None = None) -> Floats:
        """What N rooms are worth, from 0 to 1, float32 [N]: 1 for a room where all that has a weight surely comes.

        enter_N · (enter + stay · stay_N + interact · interact_N + leave · (1 − leave_N)) / the sum of the weights.
        That is enter + stay · stay_N + interact · interact_N − leave · leave_N, moved up by the weight of leaving: a
        worth below 0 would have no log odds, which is what rules and a lack of interest change from there on. So
        `leave` raises what entering is worth by as much, and a viewer who surely leaves at once costs all of it.
        leave_N: None where the version has no such head, and then it is worth nothing.
        """
        goals = self if leave_N is not None else self.without_leave()
        after_N = goals.enter + goals.stay * stay_N + goals.interact * interact_N
        if leave_N is not None and goals.leave:
            after_N += goals.leave * (1 - leave_N)
        worth_N: Floats = (enter_N * (after_N / goals._whole)).astype(np.float32)
        return worth_N


ENTER_ALONE = Goals()
AskedGoals = Annotated[
    Goals | GoalsName | None,
    Meta(description="weights, or the name of weights that the configuration has in recommend.named_goals"),
]


class ConfiguredGoals(msgspec.Struct, frozen=True):
    """The goals of an installation. default: where a request has none. named: those that a request may name."""

    default: Goals = ENTER_ALONE
    named: Mapping[str, Goals] = {}

    @classmethod
    def of(cls, config: RecommendConfig) -> ConfiguredGoals:
        """The goals of a configuration."""
        named = {name: Goals(**dataclasses.asdict(one)) for name, one in config.goals_by_name().items()}
        return cls(Goals(**dataclasses.asdict(config.goals)), named)


def goals_of(asked: Goals | str | None, configured: ConfiguredGoals) -> Goals:
    """The goals by which a request is ranked. Every path asks here. Raises RequestError: an unknown name."""
    if asked is None:
        return configured.default
    if isinstance(asked, Goals):
        return asked
    found = configured.named.get(asked)
    if found is None:
        names = ", ".join(sorted(configured.named))
        known = f"there are {names}" if names else "recommend.named_goals has none"
        raise RequestError(
            f"there are no goals of the name {asked!r}; {known}",
            field="goals",
            allowed=f'{f"one of {names}, or " if names else ""}weights such as {{"enter": 1, "stay": 3}}',
        )
    return found
