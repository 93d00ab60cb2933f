"""A profile's visits as the viewer tower's input, in replicas and in examples. Never looks up content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.events import StreamerId, ViewerProfile, Visit

LONGEST_HABITS = 24  # channels of a viewer that co-visits are counted between and looked up for: the last ones
ENTERED, CHATTED, GAVE = 0, 1, 2  # the strongest action of a visit; GAVE: liked, gifted, or follows the streamer


@dataclass(frozen=True, slots=True, eq=False)
class PastVisits:
    """A viewer's V past visits, oldest first.

    dwell_s: from entering to the last sign of life there. gap_s: from entering to the next entry, at the last to now.
    since_same_s: from the visit to the same streamer before, −1 for none.
    """

    visits: tuple[Visit, ...]
    action_V: NDArray[np.int8]
    dwell_s_V: NDArray[np.float32]
    gap_s_V: NDArray[np.float32]
    since_same_s_V: NDArray[np.float32]

    def until(self, now_ms: int) -> PastVisits:
        """These visits as seen at another time, with the last gap_s up to now_ms."""
        gap_s_V = self.gap_s_V.copy()
        gap_s_V[-1] = max(now_ms - self.visits[-1].entered_at_ms, 0) / 1e3
        return PastVisits(self.visits, self.action_V, self.dwell_s_V, gap_s_V, self.since_same_s_V)


def past_visits(profile: ViewerProfile, now_ms: int, most: int) -> PastVisits:
    """The newest `most` visits that a profile remembers. Takes some 2 us, and 1 us a visit."""
    visits = profile.visits[-most:]
    follows = {habit.streamer for habit in profile.habits if habit.followed}
    last_ms: dict[StreamerId, int] = {}
    action, dwell_ms, since_ms = [], [], []
    for visit in visits:
        gave = visit.likes or visit.gifts or visit.streamer in follows
        action.append(GAVE if gave else CHATTED if visit.chats else ENTERED)
        dwell_ms.append(visit.last_at_ms - visit.entered_at_ms)
        before_ms = last_ms.get(visit.streamer)
        since_ms.append(-1_000 if before_ms is None else visit.entered_at_ms - before_ms)
        last_ms[visit.streamer] = visit.entered_at_ms
    entered_ms = [visit.entered_at_ms for visit in visits]
    return PastVisits(
        visits=visits,
        action_V=np.array(action, np.int8),
        dwell_s_V=(np.maximum(dwell_ms, 0) / 1e3).astype(np.float32),
        gap_s_V=(np.maximum(np.diff([*entered_ms, now_ms]), 0) / 1e3).astype(np.float32),
        since_same_s_V=(np.array(since_ms, np.float64) / 1e3).astype(np.float32),
    )
