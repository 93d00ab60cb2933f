"""Owns what the demo knows at one moment, ready to be shown: answers, trends, rates, freshness. Never draws it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from actors.answer import Answer, Room
from deploy.demo.prometheus_text import Exposition

TREND_S = 10.0  # a room's chat is compared with that of so long ago, rates are means over as long
PRODUCED = ("rooms", "chat", "viewer-events")


@dataclass(frozen=True, slots=True)
class Trend:
    """A room and how its chat changed, in messages a minute. `change` is its whole chat for one that is new."""

    room: Room
    change: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Means over the last TREND_S, per second."""

    events: float
    texts: float
    answers: float


@dataclass(frozen=True, slots=True)
class Picture:
    """One moment of a run. Freshness is over the last TREND_S, None where nothing became servable."""

    elapsed_s: float
    answers: Sequence[Answer]
    trends: Sequence[Trend]  # the largest change first
    rooms_live: int
    rooms_ended: int
    rates: Rates
    freshness_p50_s: float | None
    freshness_p99_s: float | None
    stale: int
    backlog: int
    model: str  # the version that answers, in words
    checked: int  # answers checked so far
    broken: Sequence[str]
    slow: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What was fetched at one time."""

    at_s: float
    metrics: Exposition
    rooms: Sequence[Room]


class History:
    """The looks of the last TREND_S. For one thread."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> None:
        """Takes in the newest look; forgets what is older than TREND_S before it."""
        self._looks.append(look)
        while len(self._looks) > 2 and self._looks[1].at_s <= look.at_s - TREND_S:
            self._looks.popleft()

    @property
    def first(self) -> Look:
        """The oldest look that is kept."""
        return self._looks[0]

    @property
    def last(self) -> Look:
        return self._looks[-1]

    def trends(self) -> list[Trend]:
        """Live rooms by how much their chat changed."""
        before = {room.room: room.chat_per_minute for room in self.first.rooms}
        found = [Trend(room, room.chat_per_minute - before.get(room.room, 0)) for room in self.last.rooms]
        return sorted(found, key=lambda trend: (-abs(trend.change), trend.room.room))

    def rates(self) -> Rates:
        """Events that the workers applied, texts encoded, requests answered."""
        return Rates(
            events=sum(self._rate("tidecast_records_read_total", topic=topic) for topic in PRODUCED),
            texts=self._rate("tidecast_texts_encoded_total"),
            answers=self._rate("tidecast_requests_total", route="/v1/recommend"),
        )

    def freshness_s(self, share: float) -> float | None:
        """The quantile of append → servable, in seconds."""
        return self.last.metrics.quantile("tidecast_freshness_seconds", share, self.first.metrics, stage="total")

    def _rate(self, name: str, **labels: str) -> float:
        passed_s = self.last.at_s - self.first.at_s
        grown = self.last.metrics.total(name, **labels) - self.first.metrics.total(name, **labels)
        return grown / passed_s if passed_s > 0 else 0.0
