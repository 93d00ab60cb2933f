"""The training example, and the settings of a pass that makes them. Never makes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Protocol

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streaming.section import CountOrZero, PositiveShare, Section
from training.features.visit_kinds import VisitKind
from training.features.visit_sequence import PastVisits


@dataclass(frozen=True, slots=True)
class ExamplesConfig(Section):
    """Settings of examples: what one holds, and which visits become one."""

    section: ClassVar[str] = "examples"

    # of an example: the one entered, those shown, and a sample of the others
    max_rooms: Annotated[int, Meta(ge=2)] = 256
    max_visits: CountOrZero = 50  # newest of the viewer's past
    max_held: Annotated[int, Meta(ge=2)] = 65_536  # rooms at once, ended ones of the last hour included
    share: PositiveShare = 1.0  # of the visits that become examples, drawn by the seed
    since_ms: CountOrZero = 0  # visits before are history alone
    shown_within_s: CountOrZero = 600  # a room that was shown so long before a visit was passed over
    covisit_s: CountOrZero = 86_400  # visits of one viewer so close together make their rooms alike
    # a visit that arrives so much later than newer ones is history alone: much came in meanwhile
    late_s: CountOrZero = 60
    seed: CountOrZero = 7


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A visit about to begin: N candidate rooms with their features, and T past visits.

    Rooms are numbers, texts are rows of `RoomStateColumns.texts`, −1 for none. entered: the place of the room entered.
    outside: that room was not live and is listed only because it was entered: a positive outside the candidates.
    log_q_N: log of the probability that the room is listed, 0 where it always is.
    """

    at_ms: int
    viewer: str
    kind: VisitKind
    entered: int
    outside: bool
    room_N: NDArray[np.int32]
    segment_N: NDArray[np.int32]
    title_N: NDArray[np.int32]
    shown_N: NDArray[np.bool_]
    log_q_N: NDArray[np.float32]
    features_NF: NDArray[np.float32]
    past: PastVisits | None
    past_text_T3: NDArray[np.int32]  # room, segment and title of each past visit, as they were then


class CoVisit(NamedTuple):
    """A pair of rooms, of different streamers, that one viewer entered `gap_s` apart."""

    at_ms: int
    before: int
    room: int
    gap_s: float


class PassProgress(Protocol):
    """A receiver of progress of a pass over the event stream."""

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        """Reports the records and examples so far, and the append time reached."""
