"""The check that a version fits the live rooms: its encoder must have read them. Never changes a room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actors.spaces.content_space import dimension_of
from actors.state.table_reader import Tables
from streaming.errors import VersionError
from streaming.events import RoomState
from streaming.room.content_slots import encoders_of, read_by
from training.inference.interface import ServedVersion

SAMPLE = 2_000  # rooms looked at, evenly by slot and so of every age: the share is off by half a percent
FITTING = 0.95  # share of the rooms with content that the encoder must have read; rooms start all the time, and the
# smallest are read last, so that to wait for all of them would be to wait for ever
MOST = 0.5


@dataclass(frozen=True, slots=True)
class Readings:
    """Which encoders have read the live rooms: N states with content, evenly drawn."""

    states: Sequence[RoomState]
    read: Counter[str]  # states that carry an encoder's vectors
    current: Counter[str]  # of those, states in which the encoder has read as much chat as the one in front
    in_front: Counter[str]  # states whose own vectors are the encoder's: the RoomWorkers use it now

    @classmethod
    def of(cls, published: Iterable[RoomState]) -> Readings:
        """Counts encoders in states as they came."""
        states = [state for state in published if encoders_of(state)]
        read = Counter(encoder for state in states for encoder in encoders_of(state))
        current = Counter(encoder for state in states for encoder in _current(state))
        return cls(states, read, current, Counter(encoders_of(state)[0] for state in states))

    def share(self, encoder: str) -> float:
        """The share of the rooms with content that an encoder has read; 1 where no room has content."""
        return self.share_of(self.read, encoder)

    def share_of(self, counted: Counter[str], encoder: str) -> float:
        """The share of the rooms with content that were counted for an encoder."""
        return counted[encoder] / len(self.states) if self.states else 1.0

    def fit(self, encoder: str) -> bool:
        """Whether a version that reads this encoder's vectors may answer."""
        return self.share(encoder) >= FITTING

    def are_current(self, encoder: str) -> bool:
        """Whether a version that reads this encoder's vectors would answer with what is said now."""
        return self.share_of(self.current, encoder) >= FITTING

    def better_than(self, encoder: str) -> str:
        """The encoder whose space a ranker without a model goes to from this one's; "" where it stays.

        It goes where the RoomWorkers have gone before it, or from a space that the rooms are leaving.
        """
        for other, _ in self.read.most_common():
            is_used = self.in_front[other] > MOST * len(self.states) or not self.fit(encoder)
            if other != encoder and self.fit(other) and is_used:
                return other
        return ""


def _current(state: RoomState) -> Sequence[str]:
    own, other = encoders_of(state)[:1], state.other
    is_behind = other is not None and other.vector_offset < state.vector_offset
    return own if is_behind else encoders_of(state)


def readings(tables: Tables) -> Readings:
    """Which encoders have read the live rooms. Holds the lock only while it draws them."""
    with tables.lock:
        snapshots = [*tables.rooms.by_slot.values()]
    step = max(1, len(snapshots) // SAMPLE)
    return Readings.of(snapshot.published for snapshot in snapshots[::step])


def check_dimension(model: ServedVersion, readings: Readings) -> None:
    """Checks that the model reads vectors as long as its encoder's are. Raises VersionError."""
    views = (read_by(state, model.encoder_version) for state in readings.states)
    dimension = next((dimension for view in views if (dimension := dimension_of(view))), model.d_content)
    if dimension != model.d_content:
        raise VersionError(
            f"version {model.name} reads content of {model.d_content} dimensions; the rooms' has {dimension}"
        )
