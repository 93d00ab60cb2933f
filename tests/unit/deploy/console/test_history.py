"""Tests of deploy.console.history and pages.room_table: lines and figures from what was polled."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from deploy.console.history import CHAT_TOP, DRIFT_TOP, HEIGHT, KEPT_S, WIDTH, RoomLines, SystemFigures
from deploy.console.pages.room_table import room_rows
from deploy.http.prometheus_text import Exposition, parse
from tests.unit.deploy.console.console_world import receipt, room


def points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


def test_a_line_shows_the_last_three_minutes_and_stays_in_its_box() -> None:
    rates = RoomLines(CHAT_TOP)
    for second in range(400):
        rates.add(float(second), {"r1": second % 97})
    line = points(rates.line("r1", 399.0))
    assert len(line) <= 61
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)
    assert line == sorted(line), "from left to right"
    assert line[-1][0] == WIDTH


def test_one_point_is_no_line_and_a_quiet_room_is_flat() -> None:
    rates = RoomLines(CHAT_TOP)
    rates.add(0.0, {"r1": 0})
    assert rates.line("r1", 0.0) == ""
    rates.add(10.0, {"r1": 0})
    assert len({y for _, y in points(rates.line("r1", 10.0))}) == 1
    assert rates.line("unknown", 10.0) == ""


def test_what_is_gone_or_long_ago_is_forgotten() -> None:
    rates = RoomLines(CHAT_TOP)
    rates.add(0.0, {"r1": 900, "r2": 30})
    rates.add(KEPT_S + 1, {"r1": 1})
    assert rates.line("r1", KEPT_S + 1) == ""
    assert rates.line("r2", KEPT_S + 1) == ""


def page(within_s: dict[float, int], texts: int = 0, busy_s: float = 0.0, read: int = 0) -> Exposition:
    lines = ["# TYPE tidecast_freshness_seconds histogram"]
    for bound, count in within_s.items():
        lines.append(f'tidecast_freshness_seconds_bucket{{stage="total",le="{bound}"}} {count}')
    lines += ["# TYPE tidecast_encode_seconds histogram", f"tidecast_encode_seconds_sum {busy_s}"]
    for name, value in (("texts_encoded_total", texts), ("records_read_total", read)):
        lines += [f"# TYPE tidecast_{name.removesuffix('_total')} counter", f"tidecast_{name} {value}"]
    return parse("\n".join(lines) + "\n")


INF = float("inf")


def test_figures_are_those_of_the_last_minute() -> None:
    system = SystemFigures()
    system.add(0.0, 1_000, page({1.0: 0, 2.0: 100, INF: 100}, texts=0))
    system.add(10.0, 11_000, page({1.0: 100, 2.0: 200, INF: 200}, texts=50, busy_s=4.0))
    now = system.figures[-1]
    assert now.p50_s == pytest.approx(0.5)
    assert now.texts_per_s == 5.0
    assert now.batches == pytest.approx(0.4)


def test_nothing_servable_has_no_quantile_and_another_system_begins_anew() -> None:
    system = SystemFigures()
    system.add(0.0, 1_000, page({1.0: 5, INF: 5}, texts=100, read=1_000))
    system.add(2.0, 3_000, page({1.0: 5, INF: 5}, texts=100, read=1_000))
    assert system.figures[-1].p50_s is None
    system.add(4.0, 5_000, page({1.0: 2, INF: 2}, texts=3, read=10))
    assert len(system.figures) == 1, "what it did before is not of the last minute"
    system.add(6.0, 7_000, page({1.0: 4, INF: 4}, texts=7, read=20))
    assert system.figures[-1].texts_per_s == 2.0
    assert system.figures[-1].p50_s == pytest.approx(0.5)


@dataclass
class Lines:
    rates: RoomLines = field(default_factory=lambda: RoomLines(CHAT_TOP))
    drifts: RoomLines = field(default_factory=lambda: RoomLines(DRIFT_TOP))


def test_rows_have_a_line_of_chat_and_one_of_drift() -> None:
    lines = Lines()
    for at_s in range(0, 60, 3):
        lines.rates.add(float(at_s), {"r1": 30.0})
        lines.drifts.add(float(at_s), {"r1": at_s / 100})
    first, second = room_rows([room("r1"), room("r2")], lines, 57.0)
    assert len({y for _, y in points(first["line"])}) == 1
    assert len({y for _, y in points(first["drift"])}) > 10
    assert second["line"] == second["drift"] == ""


def test_rows_say_how_fresh_a_room_is() -> None:
    rows = room_rows([room(), room("r2", title="", receipt=receipt(0))], Lines(), 0.0)
    assert [(row["room"], row["title"], row["age"]) for row in rows] == [
        ("r1", "title of r1", "2.5 s"),
        ("r2", "(no title)", "title"),
    ]
