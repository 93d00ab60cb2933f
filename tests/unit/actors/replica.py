"""A replica for tests: tables, recommender, clock and records that read like a story. Never asserts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.requests.text_vectors import TextVector, TextVectors
from actors.settings import IndexConfig, RecommendConfig, SearchConfig, TablesConfig
from actors.state.table_reader import Tables
from streaming.clock import ManualClock
from streaming.events import RoomId, RoomState, StreamerHabit, StreamerId, ViewerId, ViewerProfile, ViewerRule, Visit
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics

AXES = 8  # dimensions; a vector is an axis


def axis(number: int) -> bytes:
    """A content vector that is like no other axis."""
    return np.eye(AXES, dtype="<f2")[number].tobytes()


def text_vector(*axes: int, version: str = "test") -> TextVector:
    """A text's vector, as much like the rooms on each of some axes."""
    vector_D = np.zeros(AXES, np.float32)
    vector_D[[*axes]] = 1 / len(axes) ** 0.5
    return TextVector(vector_D, version)


class Replica:
    """What a recommender replica is made of, with hand-written records instead of a log."""

    def __init__(
        self,
        index: IndexConfig | None = None,
        config: RecommendConfig | None = None,
        tables: TablesConfig | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.metrics = MemoryMetrics()
        index_config = index or IndexConfig(max_rooms=1_000)
        self.tables = Tables(
            tables or TablesConfig(),
            LiveIndex(index_config),
            self.metrics,
            self.clock,
            max_rooms=index_config.max_rooms,
        )
        self.texts = TextVectors(SearchConfig(), self.clock)
        self.recommender = Recommender(
            self.tables, config or RecommendConfig(), self.metrics, self.clock, texts=self.texts
        )
        self._offsets = itertools.count()

    def room(self, room: str, **changes: Any) -> None:
        """A newer state of a live room."""
        self.send(ROOM_STATES, room, encode(self.state(room, **changes)))

    def state(self, room: str, **changes: Any) -> RoomState:
        at, now_ms = next(self._offsets), self.clock.now_ms()
        fields: dict[str, Any] = {
            "room": RoomId(room), "streamer": StreamerId("streamer of " + room), "status": "live", "title": room,
            "category": "music", "language": "en", "tags": (), "mature": False, "started_at_ms": now_ms - 3_600_000,
            "described_at_ms": now_ms, "title_vector": axis(0), "rooms_offset": at, "chat_offset": at,
            "activity_offset": at, "appended_ms": now_ms - 200, "published_ms": now_ms - 50, "encoder_version": "test",
        }  # fmt: skip
        return RoomState(**(fields | changes))

    def viewer(self, viewer: str, *rooms: str, now_in: str | None = None, rules: Sequence[ViewerRule] = ()) -> None:
        """A profile of a viewer who watched these rooms for ten minutes each, the last one last."""
        now_ms = self.clock.now_ms()
        visits = tuple(
            Visit(RoomId(room), StreamerId("streamer of " + room), now_ms - 600_000, now_ms, 600_000, 1, 0, 0)
            for room in rooms
        )
        began_ms = now_ms - 600_000
        habits = tuple(
            StreamerHabit(visit.streamer, 1, 600_000, now_ms, False, 0, began_ms, began_ms) for visit in visits
        )
        profile = ViewerProfile(
            viewer=ViewerId(viewer), visits=visits, habits=habits, room=RoomId(now_in) if now_in else None,
            total_visits=len(visits), total_events=9, first_at_ms=0, last_at_ms=now_ms, recent_events=(),
            appended_ms=now_ms, rules=tuple(rules),
        )  # fmt: skip
        self.send(VIEWER_PROFILES, viewer, encode(profile))

    def send(self, topic: str, key: str, value: bytes | None) -> None:
        """Applies one record."""
        record = MemoryRecord(topic, 0, next(self._offsets), self.clock.now_ms(), key.encode(), value)
        self.tables.apply(Batch(records={Partition(topic, 0): [record]}))

    def shown(self, viewer: str, **query: Any) -> list[str]:
        """The rooms of an answer, in order."""
        return [item.room for item in self.recommender.recommend(Query(viewer=viewer, **query)).rooms]
