"""A platform for a bench that is only its states: rooms and viewers as the topics have them. Never writes them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import numpy as np

from streaming.events import RoomId, RoomState, StreamerHabit, StreamerId, ViewerId, ViewerProfile, Visit

DIMENSION = 384
CATEGORIES = 60
VIEWERS = 5_000
VISITS = 12
SEED = 7


class Platform:
    """Rooms and viewers that are only their states."""

    def __init__(self, rooms: int, now_ms: int) -> None:
        self._random = random.Random(SEED)
        centers_CD = np.random.default_rng(SEED).normal(size=(CATEGORIES, DIMENSION))
        self._vectors = np.random.default_rng(SEED + 1)
        self._centers_CD = centers_CD
        self.rooms = rooms
        self._now_ms = now_ms
        self._offset = 0

    def states(self) -> Iterator[RoomState]:
        """Each room once, then again and again with more chat."""
        while True:
            for number in range(self.rooms):
                yield self._state(number)

    def profiles(self) -> Iterator[ViewerProfile]:
        """Viewers who visited rooms of mostly one category."""
        for number in range(VIEWERS):
            taste = number % CATEGORIES
            seen = [self._random.randrange(self.rooms // CATEGORIES) * CATEGORIES + taste for _ in range(VISITS)]
            at_ms = [self._now_ms - 600_000 * (VISITS - i) for i in range(VISITS)]
            visits = [
                Visit(
                    room=RoomId(f"room-{room}"),
                    streamer=StreamerId(f"streamer-{room}"),
                    entered_at_ms=at,
                    last_at_ms=at + 300_000,
                    watch_ms=300_000,
                    chats=2,
                    likes=1,
                    gifts=0,
                )
                for room, at in zip(seen, at_ms, strict=True)
            ]
            habits = [
                StreamerHabit(streamer=v.streamer, visits=1, watch_ms=300_000, last_at_ms=v.last_at_ms, followed=False)
                for v in {v.streamer: v for v in visits}.values()
            ]
            yield ViewerProfile(
                viewer=ViewerId(f"viewer-{number}"),
                visits=tuple(visits),
                habits=tuple(habits),
                room=None,
                total_visits=VISITS,
                total_events=VISITS * 4,
                first_at_ms=at_ms[0],
                last_at_ms=at_ms[-1],
                recent_events=(),
                appended_ms=self._now_ms,
            )

    def _state(self, number: int) -> RoomState:
        self._offset += 1
        now_ms = time.time_ns() // 1_000_000
        vector_D = self._centers_CD[number % CATEGORIES] + 1.5 * self._vectors.normal(size=DIMENSION)
        vector = (vector_D / np.linalg.norm(vector_D)).astype(np.float16).tobytes()
        said = self._random.randrange(40)
        return RoomState(
            room=RoomId(f"room-{number}"),
            streamer=StreamerId(f"streamer-{number}"),
            status="live",
            title=f"Title number {number}, about something or other",
            category=f"Category {number % CATEGORIES}",
            language=("en", "pt", "de", "ja")[number % 4],
            tags=("one", "two"),
            mature=False,
            started_at_ms=self._now_ms - self._random.randrange(7_200_000),
            described_at_ms=self._now_ms,
            messages=said * 100,
            window_messages=said,
            window_chatters=said // 2,
            previous_messages=said,
            chat_at_ms=now_ms,
            entered=said * 5,
            left=said * 2,
            title_vector=vector,
            chat_vector=vector,
            segment_end_ms=now_ms,
            encoder_version="bench",
            rooms_offset=number,
            chat_offset=self._offset,
            vector_offset=self._offset,
            activity_offset=self._offset,
            alive_ms=now_ms,
            appended_ms=now_ms,
            published_ms=now_ms,
        )
