"""Folds messages into what is known at a moment: the crowd, viewers' pasts, moves. Never looks ahead, never ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.chat import Chat
from training.crowd import NEVER_US, Crowd
from training.features import Viewer, features
from training.past import NOWHERE, Past
from training.paths import MovesBetween
from training.visits import Kind

_STRANGER = Viewer(visits=0, repeats=0, channels=0, silence_s=0.0, known_s=0.0)


@dataclass(frozen=True, slots=True)
class Moment:
    """A visit about to happen, and all that could be known then: a snapshot, which later messages leave alone."""

    message: int  # its index in the chat
    at_us: int
    viewer: int
    live_N: NDArray[np.intp]  # channels live, ascending by index, which says nothing
    features_NF: NDArray[np.float32]
    entered: int  # position in live_N: what is to be predicted
    surprise: bool  # the room entered was not live before: it is listed only because it was entered
    channel_visits: int  # visits to the channel entered, before this one
    kind: Kind


class Observer(Protocol):
    """Follows the chat."""

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """One message, in time order. viewer and channel: indices into the chat's; kind: a Kind."""


class World:
    """Everything counted of C channels and of all viewers, as of the last message applied."""

    def __init__(self, num_channels: int) -> None:
        self._crowd = Crowd(num_channels)
        self._paths = MovesBetween(num_channels)
        self._pasts: dict[int, Past] = {}
        self._position_C = np.full(num_channels, -1, np.intp)

    def moment(self, message: int, at_us: int, viewer: int, channel: int, kind: Kind) -> Moment:
        """The moment of a visit, before any message of that time is applied."""
        live_N = self._crowd.live(at_us)
        place = int(np.searchsorted(live_N, channel))
        surprise = place == len(live_N) or live_N[place] != channel
        if surprise:
            live_N = np.insert(live_N, place, channel)
        return Moment(
            message=message,
            at_us=at_us,
            viewer=viewer,
            live_N=live_N,
            features_NF=self._features(at_us, viewer, live_N),
            entered=place,
            surprise=bool(surprise),
            channel_visits=self._crowd.visits(channel),
            kind=kind,
        )

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """One message, in time order."""
        past = self._pasts.get(viewer)
        if past is None:
            past = self._pasts[viewer] = Past(at_us)
        habit = past.habits.get(channel)
        self._crowd.apply(at_us, channel, kind, NEVER_US if habit is None else habit.last_us)
        if kind != Kind.NO_VISIT:
            if past.channel != NOWHERE:
                self._paths.move(at_us, past.channel, channel, habit is None)
            if habit is None:
                self._paths.meet(channel, list(past.habits))
        past.apply(at_us, channel, kind)

    def _features(self, at_us: int, viewer: int, live_N: NDArray[np.intp]) -> NDArray[np.float32]:
        past = self._pasts.get(viewer) or Past(at_us)
        self._position_C[live_N] = np.arange(len(live_N))
        own = past.own(at_us, live_N, self._position_C)
        self._position_C[live_N] = -1
        return features(
            self._crowd.rooms(at_us, live_N),
            own,
            self._paths.paths(at_us, past.channel, list(past.habits), live_N),
            past.viewer(at_us) if past.visits else _STRANGER,
            at_us,
        )


def moments(
    chat: Chat, kind_M: NDArray[np.int8], wanted_M: NDArray[np.bool_], observers: Sequence[Observer] = ()
) -> Iterator[Moment]:
    """The moments of the messages wanted, in time order; each sees only what happened strictly before its time.

    observers get each message after the moments of its time were taken up, and before the next one is made.
    """
    world = World(len(chat.channels))
    at_us_M, viewer_M, channel_M, kinds_M, wants_M = (
        column.tolist() for column in (chat.at_us_M, chat.viewer_M, chat.channel_M, kind_M, wanted_M)
    )
    start, end = 0, len(at_us_M)
    while start < end:
        at_us, stop = at_us_M[start], start + 1
        while stop < end and at_us_M[stop] == at_us:
            stop += 1
        for message in range(start, stop):
            if wants_M[message]:
                yield world.moment(message, at_us, viewer_M[message], channel_M[message], Kind(kinds_M[message]))
        for message in range(start, stop):
            for observer in (world, *observers):
                observer.apply(at_us, viewer_M[message], channel_M[message], kinds_M[message])
        start = stop
