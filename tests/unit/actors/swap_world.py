"""A replica for tests that follows the topic `models`, one turn at a time, and a look at its rows."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from actors.recommend.recommender import Query
from actors.recommend.schema import Answer
from actors.settings import RecommendConfig
from actors.state.room_embeddings import LiveEmbeddings, ModelEmbeddings
from actors.versions.swap import Swapper
from streaming.errors import VersionError
from streaming.events import ModelVersion
from streaming.log.codec import encode
from streaming.log.topics import MODELS
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.replica import Replica, axis
from training.inference.interface import ServedVersion
from training.registry.catalog import key_of


class World:
    """A replica that follows the topic `models`, one turn at a time."""

    def __init__(self, rooms: int = 40, shadow: float = 0.0) -> None:
        self.replica = Replica(config=RecommendConfig(shadow=shadow))
        self.versions: dict[str, ServedVersion] = {name: FakeVersion(name) for name in ("one", "two", "three")}
        self.loaded: list[str] = []
        self.during: Callable[[], None] = lambda: None  # called once all rooms are embedded, before the flip
        tables, metrics, clock = self.replica.tables, self.replica.metrics, self.replica.clock
        show = self.replica.recommender.shadow if shadow else None
        self.swapper = Swapper(
            tables,
            self._load,
            self._warm,
            metrics=metrics,
            clock=clock,
            shadow=show,
            failures=self.replica.recommender.failures,
        )
        for number in range(rooms):
            self.replica.room(f"r{number}", title_vector=axis(number % 8), mean_vector=axis(number % 5))
        self.replica.viewer("v", "r1", "r2", "gone")
        tables.current = True

    def live(self, version: str, state: str = "live") -> None:
        """Announces that a version is live, and lets the replica follow."""
        self.announce(version, state)
        self.turn()

    def announce(self, version: str, state: str = "live") -> None:
        at_ms = self.replica.clock.now_ms()
        record = ModelVersion(name="rooms", version=version, path="/" + version, state=state, metrics={}, at_ms=at_ms)  # type: ignore[arg-type]
        self.replica.send(MODELS, key_of(record).decode(), encode(record))

    def turn(self) -> None:
        self.swapper.turn(threading.Event())
        self.swapper.follow_candidate(threading.Event())

    def _load(self, record: ModelVersion) -> ServedVersion:
        self.loaded.append(record.version)
        if record.version not in self.versions:
            raise VersionError(f"{record.path}/weights.safetensors is damaged")
        return self.versions[record.version]

    def _warm(self, embeddings: LiveEmbeddings) -> None:
        self.replica.recommender.warm(embeddings)
        self.during()

    @property
    def embeddings(self) -> LiveEmbeddings:
        return self.replica.tables.rooms.embeddings

    def answer(self, viewer: str = "v", **query: object) -> Answer:
        return self.replica.recommender.recommend(Query(viewer=viewer, **query))  # type: ignore[arg-type]

    def check_rows(self) -> None:
        """Every live room's row is what its version makes of its state now, and no other slot has one."""
        rooms = self.replica.tables.rooms
        slots = rooms.slots()
        states = [rooms.by_slot[slot].state for slot in slots.tolist()]
        found_NE = rooms.index.vectors(np.arange(rooms.index.slots.high))
        if isinstance(self.embeddings, ModelEmbeddings):
            expected = self.embeddings.embed(states, rooms.content(states, rooms.dimension))
            np.testing.assert_allclose(found_NE[slots], expected.vectors_NE, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(self.embeddings.rooms.static_NL[slots], expected.static_NL)
        else:
            assert rooms.projection is not None
            np.testing.assert_allclose(
                found_NE[slots], rooms.projection.project(rooms.content(states, rooms.dimension)), atol=1e-3
            )
        free = np.setdiff1d(np.arange(rooms.index.slots.high), slots)
        assert np.isnan(found_NE[free]).all()


def versions_of(answer: Answer) -> set[str]:
    return {answer.model_version, *(item.receipt.model_version for item in answer.rooms)}
