"""The replay state: rooms, viewers' pasts and transitions, aggregated from messages. Never looks ahead, never ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from streaming.viewer.presence import LATE_MS, Deadlines
from training.features.features import features, room_features, served
from training.features.viewer_columns import COLD_START_VIEWER
from training.features.visit_kinds import SILENCE_MS, VisitKind
from training.recorded.chat import Chat
from training.recorded.move_counters import MovesBetween
from training.recorded.room_counters import NEVER_MS, Crowd
from training.recorded.viewer_counters import NOWHERE, Past


@dataclass(frozen=True, slots=True)
class Moment:
    """A visit about to happen, with all that could be known then. It is a snapshot: later messages do not change it."""

    message: int  # its index in the chat
    at_us: int
    viewer: int
    live_N: NDArray[np.intp]  # live channels, ascending by index, which has no meaning
    features_NF: NDArray[np.float32]
    entered: int  # position in live_N: the target of a prediction
    surprise: bool  # positive outside the candidates: the room was not live before, only entered now
    channel_visits: int  # visits to the channel entered, before this one
    kind: VisitKind


@runtime_checkable
class Observer(Protocol):
    """An observer of the chat."""

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """Applies one message, in time order. viewer, channel: indices into the chat's. kind: a VisitKind."""


class World:
    """The replay state: all counts of C channels and of all viewers, as of the last message applied."""

    def __init__(self, channels: Sequence[str]) -> None:
        num_channels = len(channels)
        place = {channel: place for place, channel in enumerate(sorted(channels))}
        self._crowd = Crowd(num_channels, [place[channel] for channel in channels])
        self._paths = MovesBetween(num_channels)
        self._pasts: dict[int, Past] = {}
        self._deadlines: Deadlines[int] = Deadlines()  # viewers who are in a channel
        self._position_C = np.full(num_channels, -1, np.intp)

    def moment(self, message: int, at_us: int, viewer: int, channel: int, kind: VisitKind) -> Moment:
        """The moment of a visit, before any message of that millisecond is applied."""
        at_ms = at_us // 1_000
        live_N = self._crowd.live(at_ms)
        place = int(np.searchsorted(live_N, channel))
        surprise = place == len(live_N) or live_N[place] != channel
        if surprise:
            live_N = np.insert(live_N, place, channel)
        return Moment(
            message=message,
            at_us=at_us,
            viewer=viewer,
            live_N=live_N,
            features_NF=self._features(at_ms, viewer, live_N),
            entered=place,
            surprise=bool(surprise),
            channel_visits=self._crowd.visits(channel),
            kind=kind,
        )

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """Applies a message, in time order. Another of the same viewer, channel and millisecond is no viewer event."""
        at_ms = at_us // 1_000
        past = self._pasts.get(viewer)
        if past is None:
            past = self._pasts[viewer] = Past(at_ms)
        habit = past.habits.get(channel)
        if habit is not None and habit.last_ms == at_ms:
            self._crowd.apply(at_ms, channel, VisitKind.NO_VISIT, at_ms)
            return
        self._crowd.apply(at_ms, channel, kind, NEVER_MS if habit is None else habit.last_ms)
        if kind != VisitKind.NO_VISIT:
            if past.channel != NOWHERE:
                if past.present:
                    self._crowd.leave(past.channel, past.habits[past.channel].last_visit_ms)
                self._paths.move(at_ms, past.channel, channel, habit is None)
                if past.channel != channel:
                    self._crowd.arrive(at_ms, past.channel, channel)
            if habit is None:
                self._paths.meet(channel, list(past.habits))
        past.apply(at_ms, channel, kind)
        self._deadlines.put(viewer, at_ms + SILENCE_MS)

    def lapse(self, at_ms: int) -> None:
        """Makes viewers leave who were silent for half an hour, as a ProfileWorker does."""
        for viewer in self._deadlines.take(at_ms):
            past = self._pasts[viewer]
            if past.last_ms + SILENCE_MS + LATE_MS > at_ms:
                self._deadlines.put(viewer, past.last_ms + SILENCE_MS)
            elif past.present:
                past.present = False
                self._crowd.leave(past.channel, past.habits[past.channel].last_visit_ms)

    def _features(self, at_ms: int, viewer: int, live_N: NDArray[np.intp]) -> NDArray[np.float32]:
        past = self._pasts.get(viewer) or Past(at_ms)
        self._position_C[live_N] = np.arange(len(live_N))
        own = past.own(at_ms, live_N, self._position_C)
        self._position_C[live_N] = -1
        served_NF = served(
            room_features(self._crowd.rooms(at_ms, live_N)),
            own,
            self._crowd.arrivals(live_N, None if past.channel == NOWHERE else past.channel, at_ms),
            past.viewer(at_ms, int(np.count_nonzero(own.visits_N))) if past.visits else COLD_START_VIEWER,
            at_ms,
        )
        paths = self._paths.paths(at_ms, past.channel, list(past.habits), live_N)
        return features(served_NF, self._crowd.totals(live_N), paths)


def moments(
    chat: Chat, kind_M: NDArray[np.int8], wanted_M: NDArray[np.bool_], observers: Sequence[Observer] = ()
) -> Iterator[Moment]:
    """The moments of the wanted messages, in time order; each uses only messages of earlier milliseconds.

    observers: they get each message after the moments of its time were used, and before the next moment is made.
    """
    world = World(chat.channels)
    at_us_M, viewer_M, channel_M, kinds_M, wants_M = (
        column.tolist() for column in (chat.at_us_M, chat.viewer_M, chat.channel_M, kind_M, wanted_M)
    )
    start, end = 0, len(at_us_M)
    while start < end:
        at_ms, stop = at_us_M[start] // 1_000, start + 1
        while stop < end and at_us_M[stop] // 1_000 == at_ms:
            stop += 1
        world.lapse(at_ms)
        for message in range(start, stop):
            if wants_M[message]:
                kind = VisitKind(kinds_M[message])
                yield world.moment(message, at_us_M[message], viewer_M[message], channel_M[message], kind)
        for message in range(start, stop):
            for observer in (world, *observers):
                observer.apply(at_us_M[message], viewer_M[message], channel_M[message], kinds_M[message])
        start = stop
