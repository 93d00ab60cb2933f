"""A moment of the demo, ready to be shown: answers, trends, rates, freshness. Never draws it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.http.prometheus_text import Exposition
from tidecast_client import Answer, Room

TREND_S = 10.0  # a room's chat is compared with so long ago, and rates are means over this time
PRODUCED = ("rooms", "chat", "viewer-events")


@dataclass(frozen=True, slots=True)
class Trend:
    """A room and the change of its chat, in messages a minute. change: the whole chat for a new room."""

    room: Room
    change: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates per second, as means over the last TREND_S."""

    events: float
    texts: float
    answers: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A moment of a run. Freshness is over the last TREND_S, None where nothing became servable."""

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
    """The data fetched at one time."""

    at_s: float
    metrics: Exposition
    rooms: Sequence[Room]


class History:
    """The looks of the last TREND_S. For one thread."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> None:
        """Adds the newest look; forgets those that are more than TREND_S older."""
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
        """Trends of the live rooms, the largest change first."""
        before = {room.room: room.chat_per_minute for room in self.first.rooms}
        found = [Trend(room, room.chat_per_minute - before.get(room.room, 0)) for room in self.last.rooms]
        return sorted(found, key=lambda trend: (-abs(trend.change), trend.room.room))

    def rates(self) -> Rates:
        """Rates of events that the workers applied, of texts encoded, and of requests answered."""
        return Rates(
            events=sum(self._rate("tidecast_records_read_total", topic=topic) for topic in PRODUCED),
            texts=self._rate("tidecast_texts_encoded_total"),
            answers=self._rate("tidecast_requests_total", route="/v1/recommend"),
        )

    def freshness_s(self, share: float) -> float | None:
        """A quantile of the time from append to servable, in seconds; None without observations."""
        return self.last.metrics.quantile("tidecast_freshness_seconds", share, self.first.metrics, stage="total")

    def _rate(self, name: str, **labels: str) -> float:
        passed_s = self.last.at_s - self.first.at_s
        grown = self.last.metrics.total(name, **labels) - self.first.metrics.total(name, **labels)
        return grown / passed_s if passed_s > 0 else 0.0
