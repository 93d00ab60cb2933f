"""What a request's list is for, as weights over a learned version's heads. Never computes a probability."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

MAX_GOAL = 100.0
Floats = NDArray[np.float32]

Goal = Annotated[float, Meta(ge=0, le=MAX_GOAL)]


class Goals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much each outcome of showing a room is worth; what counts is their ratio.

    A head says how likely the outcome is once the viewer has entered, so a room is worth the probability of entering
    times the weighted mean of what follows.
    """

    enter: Annotated[Goal, Meta(description="worth of entering", examples=[1.0])] = 1.0
    stay: Annotated[Goal, Meta(description="worth of staying for a minute", examples=[2.0])] = 0.0
    interact: Annotated[Goal, Meta(description="worth of a chat message, a like, a gift", examples=[0.5])] = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError: nothing is worth anything."""
        if self.enter + self.stay + self.interact <= 0:
            raise ValueError("one of enter, stay and interact must be above 0")

    @property
    def are_default(self) -> bool:
        """Whether entering alone counts, which is the order of a request without goals."""
        return not self.stay and not self.interact

    def worth(self, enter_N: Floats, stay_N: Floats, interact_N: Floats) -> Floats:
        """What N rooms are worth, from 0 to 1, float32 [N]: 1 for a room where all that has a weight surely comes."""
        whole = self.enter + self.stay + self.interact
        after_N = self.enter + self.stay * stay_N + self.interact * interact_N
        worth_N: Floats = (enter_N * (after_N / whole)).astype(np.float32)
        return worth_N


ENTER_ALONE = Goals()


def goals_of(asked: Goals | None, default: Goals) -> Goals:
    """The goals by which a request is ranked. default: of the installation. Every path asks here."""
    return default if asked is None else asked
