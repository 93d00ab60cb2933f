"""What the console remembers of what it polled: lines of rooms, and figures of the system. Never polls.

It is empty after a start and has gaps where nobody looked: Tidecast keeps no such past.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.http.prometheus_text import Exposition

KEPT_S = 180.0  # of a room's line
POINTS = 60  # of its line: one per 3 s
WINDOW_S = 60.0  # quantiles and rates are those of the last minute
FIGURES = 180  # of the system: six minutes, one every two seconds
WIDTH, HEIGHT, MARGIN = 100, 24, 2  # of a line's picture, in its own units
CHAT_TOP = 6.0  # messages a minute
DRIFT_TOP = 0.6  # of a room that has turned to something else


class RoomLines:
    """One figure of each live room over the last KEPT_S, such as its chat rate."""

    def __init__(self, least_top: float) -> None:
        """least_top: the value that reaches the top of a line at least, so that a quiet room's line is flat."""
        self._least_top = least_top
        self._values: dict[str, deque[tuple[float, float]]] = {}

    def add(self, at_s: float, values: Mapping[str, float]) -> None:
        """Adds what was polled at a time of any clock that never runs backwards; forgets rooms that are gone."""
        kept: dict[str, deque[tuple[float, float]]] = {}
        for room, value in values.items():
            past = kept[room] = self._values.get(room) or deque()
            past.append((at_s, value))
            while past[0][0] < at_s - KEPT_S:
                past.popleft()
        self._values = kept

    def line(self, room: str, at_s: float) -> str:
        """The room's figure as the points of an SVG polyline, WIDTH by HEIGHT; "" before there are two."""
        step_s = KEPT_S / POINTS
        newest: dict[int, float] = {}
        for when_s, value in self._values.get(room, ()):
            newest[int((at_s - when_s) / step_s)] = value  # later ones of a step replace earlier ones
        if len(newest) < 2:
            return ""
        top = max(*newest.values(), self._least_top)
        points = []
        for ago in sorted(newest, reverse=True):
            x = WIDTH * (1 - ago / POINTS)
            y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * newest[ago] / top
            points.append(f"{x:.0f},{y:.1f}")
        return " ".join(points)


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the system at one time. None where nothing was observed in the last WINDOW_S."""

    at_ms: int
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    texts_per_s: float
    batches: float  # at work in the encoders at once, on average
    answers_per_s: float
    backlog: float  # texts that wait for the encoder
    stale: float  # rooms whose text has waited for longer than 30 s


class SystemFigures:
    """Figures of the system over time, from successive pages of metrics."""

    def __init__(self) -> None:
        self._pages: deque[tuple[float, Exposition]] = deque()
        self.figures: deque[Figures] = deque(maxlen=FIGURES)

    def add(self, at_s: float, at_ms: int, metrics: Exposition) -> None:
        """Adds a page; there are figures from the second one on. at_s: of a clock that never runs backwards."""
        if self._pages and _restarted(self._pages[-1][1], metrics):
            self._pages.clear()
        self._pages.append((at_s, metrics))
        while len(self._pages) > 2 and self._pages[1][0] <= at_s - WINDOW_S:
            self._pages.popleft()
        if len(self._pages) < 2:
            return
        since_s, since = self._pages[0]
        passed_s = max(at_s - since_s, 1e-9)

        def rate(name: str, **labels: str) -> float:
            return max(0.0, metrics.total(name, **labels) - since.total(name, **labels)) / passed_s

        def freshness_s(share: float) -> float | None:
            return metrics.quantile("tidecast_freshness_seconds", share, since, stage="total")

        self.figures.append(
            Figures(
                at_ms=at_ms,
                p50_s=freshness_s(0.5),
                p90_s=freshness_s(0.9),
                p99_s=freshness_s(0.99),
                texts_per_s=rate("tidecast_texts_encoded_total"),
                batches=rate("tidecast_encode_seconds_sum"),
                answers_per_s=rate("tidecast_requests_total", route="/v1/recommend"),
                backlog=metrics.total("tidecast_encoder_backlog"),
                stale=metrics.total("tidecast_rooms_stale"),
            )
        )


def _restarted(before: Exposition, after: Exposition) -> bool:
    """Whether counters fell: another system answers now."""
    name = "tidecast_records_read_total"
    return after.total(name) < before.total(name)
