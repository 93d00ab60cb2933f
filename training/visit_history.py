"""Reads the visits of a ViewerProfile as the viewer tower has them, in replicas and in examples. Never ranks."""

from __future__ import annotations

import numpy as np

from streaming.events import StreamerId, ViewerProfile
from training.serving import CHATTED, ENTERED, GAVE, AlignedRooms, PastVisits

HOUR_MS = 3_600_000


def past_visits(profile: ViewerProfile, rooms: AlignedRooms, now_ms: int) -> PastVisits:
    """The remembered visits as of now_ms, a time of the events. rooms: of each visit."""
    visits, follows = profile.visits, {habit.streamer for habit in profile.habits if habit.followed}
    entered_ms_V = np.array([visit.entered_at_ms for visit in visits], np.int64)
    last_ms_V = np.array([visit.last_at_ms for visit in visits], np.int64)
    until_ms_V = np.append(entered_ms_V[1:], now_ms)
    actions = [
        GAVE if visit.likes or visit.gifts or visit.streamer in follows else CHATTED if visit.chats else ENTERED
        for visit in visits
    ]
    before: dict[StreamerId, int] = {}
    since_same_ms = []
    for visit in visits:
        same_ms = before.get(visit.streamer)
        since_same_ms.append(-1_000 if same_ms is None else max(visit.entered_at_ms - same_ms, 0))
        before[visit.streamer] = visit.entered_at_ms
    return PastVisits(
        streamers=[visit.streamer for visit in visits],
        rooms=rooms,
        actions_V=np.array(actions, np.int64),
        dwell_s_V=(np.maximum(last_ms_V - entered_ms_V, 0) / 1e3).astype(np.float32),
        gap_s_V=(np.maximum(until_ms_V - entered_ms_V, 0) / 1e3).astype(np.float32),
        since_same_s_V=(np.array(since_same_ms, np.int64) / 1e3).astype(np.float32),
        hour=now_ms / HOUR_MS % 24,
    )
