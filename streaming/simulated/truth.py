"""Ground truth of the simulated platform: viewers' tastes, rooms' topics, and the odds of each viewer's next room.

The simulator draws every choice of a viewer from exactly this; it is the oracle that answers are measured against.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streaming.errors import InputFileError
from streaming.events import RoomId, StreamerId, ViewerId
from streaming.simulated.config import SimulationConfig
from streaming.simulated.draws import Floats, Ints
from streaming.simulated.phrases import LANGUAGES
from streaming.simulated.population import FAVOURITE_WEIGHTS, MAX_FAVOURITES, MAX_TASTES, Population

OWN_LANGUAGE_SHARE = 0.9  # of the choices by taste, those of a room in the viewer's language; the others are English
TOPIC_SHARE = 0.6  # of the choices by taste, those of a room about the viewer's favourite topic of the category
ENGLISH = 0


class Broadcast(msgspec.Struct):
    """One room from its start to its end. `topics`: (since ms, topic), oldest first. `ended_at_ms` 0 while live."""

    room: RoomId
    streamer: int
    language: int
    popularity: float
    started_at_ms: int
    topics: list[tuple[int, int]]
    ended_at_ms: int = 0

    def topic_at(self, at_ms: int) -> int:
        return next((topic for since, topic in reversed(self.topics) if since <= at_ms), self.topics[0][1])


class Moment:
    """The live rooms at one moment. R rooms, in the order of `rooms`."""

    def __init__(self, population: Population, broadcasts: list[Broadcast], at_ms: int) -> None:
        self._population = population
        self.at_ms = at_ms
        self.rooms = [b.room for b in broadcasts]
        self.streamers_R: Ints = np.array([b.streamer for b in broadcasts], np.int64)
        self.languages_R: Ints = np.array([b.language for b in broadcasts], np.int64)
        self.popularity_R: Floats = np.array([b.popularity for b in broadcasts], np.float64)
        self.topics_R: Ints = np.array([b.topic_at(at_ms) for b in broadcasts], np.int64)
        self.categories_R: Ints = self.topics_R // population.topics_per_category

    def affinity(self, viewer: int) -> Floats:
        """Probabilities [R] float64, which sum to 1, of each live room to be the viewer's next choice.

        Choosing the room where the viewer already is means staying, and makes no event.
        """
        config = self._population.config
        share_R: Floats = config.noise_share * self._by_popularity()
        habits_R = self._by_habit(viewer)
        habit_share = (1 - config.noise_share) * config.return_share if habits_R.any() else 0.0
        share_R += habit_share * habits_R + (1 - config.noise_share - habit_share) * self._by_taste(viewer)
        return share_R

    def liked(self, viewer: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Mask [R] bool of the rooms that are now about a category that the viewer likes."""
        tastes = self._population.tastes_MT[viewer][self._population.taste_weights_MT[viewer] > 0]
        return np.isin(self.categories_R, tastes)

    def _by_popularity(self) -> Floats:
        share_R: Floats = self.popularity_R / self.popularity_R.sum()
        return share_R

    def _by_habit(self, viewer: int) -> Floats:
        weights_R = np.zeros(len(self.rooms))
        for slot in range(MAX_FAVOURITES):
            favourite = self._population.favourites_MF[viewer, slot]
            if favourite >= 0:
                weights_R[self.streamers_R == favourite] = FAVOURITE_WEIGHTS[slot]
        return weights_R / weights_R.sum() if weights_R.any() else weights_R

    def _by_taste(self, viewer: int) -> Floats:
        people = self._population
        own = int(people.viewer_language_M[viewer])
        shares_R = np.zeros(len(self.rooms))
        for slot in range(MAX_TASTES):
            weight = people.taste_weights_MT[viewer, slot]
            category, topic = people.tastes_MT[viewer, slot], people.preferred_topics_MT[viewer, slot]
            for language, share in ((own, OWN_LANGUAGE_SHARE), (ENGLISH, 1 - OWN_LANGUAGE_SHARE)):
                spoken_R = self.languages_R == language
                wide_R = self._within(spoken_R & (self.categories_R == category), self._by_popularity())
                narrow_R = self._within(spoken_R & (self.topics_R == topic), wide_R)
                shares_R += weight * share * (TOPIC_SHARE * narrow_R + (1 - TOPIC_SHARE) * wide_R)
        return shares_R

    def _within(self, among_R: np.ndarray[Any, np.dtype[np.bool_]], otherwise_R: Floats) -> Floats:
        weights_R: Floats = self.popularity_R * among_R
        return weights_R / weights_R.sum() if among_R.any() else otherwise_R


class Truth:
    """Ground truth of a simulated platform. It grows by one Broadcast per room."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self.broadcasts: dict[RoomId, Broadcast] = {}
        self._moment: Moment | None = None

    def add(self, broadcast: Broadcast) -> None:
        """Adds a room that starts."""
        self.broadcasts[broadcast.room] = broadcast

    def live(self, at_ms: int) -> list[RoomId]:
        """The rooms that are live at a time."""
        return self.at(at_ms).rooms

    def affinity(self, viewer: ViewerId, at_ms: int) -> Mapping[RoomId, float]:
        """The probability of each live room to be the viewer's next choice, by which an oracle ranks."""
        moment = self.at(at_ms)
        return dict(zip(moment.rooms, moment.affinity(self.viewer_index(viewer)).tolist(), strict=True))

    def liked_categories(self, viewer: ViewerId) -> dict[str, float]:
        """Weights of the categories that the viewer likes, by category."""
        people, index = self.population, self.viewer_index(viewer)
        pairs = zip(people.tastes_MT[index].tolist(), people.taste_weights_MT[index].tolist(), strict=True)
        return {people.categories[category].name: weight for category, weight in pairs if weight > 0}

    def category(self, room: RoomId, at_ms: int) -> str:
        """The category that a room is about: its label, or the actual one under a label for everything."""
        return self.population.topics[self.broadcasts[room].topic_at(at_ms)].category

    def topic(self, room: RoomId, at_ms: int) -> str:
        """The topic of a room within its category."""
        return self.population.topics[self.broadcasts[room].topic_at(at_ms)].name

    def streamer(self, room: RoomId) -> StreamerId:
        return self.population.streamers[self.broadcasts[room].streamer]

    def viewer_index(self, viewer: ViewerId) -> int:
        """The viewer's index in the population. Raises KeyError for a viewer of another platform."""
        digits = viewer[1:]
        if not (viewer.startswith("v") and digits.isdecimal() and int(digits) < len(self.population.viewers)):
            raise KeyError(f"no viewer {viewer!r} on this platform")
        return int(digits)

    def at(self, at_ms: int) -> Moment:
        """The platform at a time that the simulation has passed. Cached until the next call with another time."""
        if self._moment is None or self._moment.at_ms != at_ms:
            live = [b for b in self.broadcasts.values() if b.started_at_ms <= at_ms and not 0 < b.ended_at_ms <= at_ms]
            self._moment = Moment(self.population, live, at_ms)
        return self._moment

    def write(self, path: Path) -> None:
        """Writes JSON: the config, every viewer's tastes and every room. `read` rebuilds all of it."""
        document = {
            "config": msgspec.to_builtins(self.population.config),
            "languages": LANGUAGES,
            "topics": [f"{topic.category}: {topic.name}" for topic in self.population.topics],
            "streamers": self.population.streamers,
            "viewers": list(self._viewers()),
            "broadcasts": list(self.broadcasts.values()),
        }
        path.write_bytes(msgspec.json.encode(document))

    @staticmethod
    def read(path: Path) -> Truth:
        """Reads a file of `write`. Raises InputFileError where it is none."""
        try:
            document = msgspec.json.decode(path.read_bytes(), type=_Document)
        except (OSError, msgspec.MsgspecError) as err:
            raise InputFileError(f"{path}: not a truth that `tidecast simulate --truth` wrote: {err}") from err
        truth = Truth(Population(document.config))
        truth.broadcasts = {broadcast.room: broadcast for broadcast in document.broadcasts}
        return truth

    def _viewers(self) -> Iterator[dict[str, object]]:
        people = self.population
        for index, viewer in enumerate(people.viewers):
            favourites = [people.streamers[s] for s in people.favourites_MF[index].tolist() if s >= 0]
            language = LANGUAGES[int(people.viewer_language_M[index])]
            yield {
                "viewer": viewer,
                "language": language,
                "tastes": self.liked_categories(viewer),
                "favourites": favourites,
            }


class _Document(msgspec.Struct):
    config: SimulationConfig
    broadcasts: list[Broadcast]
