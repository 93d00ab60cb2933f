"""Owns how a version takes in rooms that have changed, whatever it does. Never knows which rooms are live."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.alignment import Alignment, ModelAlignment
from actors.model_failures import ModelFailures
from streaming.events import RoomState
from training.serving import AlignedRooms


class Incoming(NamedTuple):
    """What states need to be shown, as of the version in force when it was made. aligned: None by version 0."""

    states: Sequence[RoomState]
    now_ND: NDArray[np.float32]
    alignment: Alignment
    aligned: AlignedRooms | None

    def fits(self, states: Sequence[RoomState], dimension: int) -> bool:
        """Whether it is of these states, and of content of this dimension."""
        return (
            len(states) == len(self.states)
            and all(map(operator.is_, states, self.states))
            and self.now_ND.shape[1] == dimension
        )


def incoming(alignment: Alignment, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> Incoming:
    """now_ND: the states' content. Without what is aligned where the version fails: `put_surely` sees to that."""
    aligned = None
    if isinstance(alignment, ModelAlignment) and states:
        with contextlib.suppress(Exception):  # whatever a version does; it is tried again, room by room, and noted
            aligned = alignment.align(states, now_ND)
    return Incoming(states, now_ND, alignment, aligned)


class Changes(NamedTuple):
    """N rooms as they are now."""

    slots_N: NDArray[np.int64]
    states: Sequence[RoomState]
    now_ND: NDArray[np.float32]
    aligned: AlignedRooms | None


def put_surely(alignment: ModelAlignment, changes: Changes, failures: ModelFailures, now_ms: int) -> None:
    """Where the version fails, room by room: one that it cannot take in stays there as it was, or without a vector.

    The room is live all the same, and in an answer where version 0's terms bring it there.
    """
    try:
        alignment.put(*changes)
    except Exception as err:  # whatever a version does, the tables go on
        if len(changes.states) > 1:
            for place in range(len(changes.states)):
                one = slice(place, place + 1)
                change = Changes(changes.slots_N[one], changes.states[one], changes.now_ND[one], None)
                put_surely(alignment, change, failures, now_ms)
            return
        alignment.leave(changes.slots_N)
        failures.note(alignment.version, err, now_ms, "changes of rooms")
    else:
        failures.clear(alignment.version, "changes of rooms")
