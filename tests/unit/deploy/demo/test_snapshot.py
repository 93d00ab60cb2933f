"""What the demo computes from its looks at the system, and that all of it can be drawn."""

from __future__ import annotations

import dataclasses
import io

import msgspec
import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from deploy.demo.screen import LINE_EVERY_S, ScreenLines, draw
from deploy.demo.snapshot import TREND_S, History, Look, Picture, Trend
from deploy.http.prometheus_text import parse
from tests.unit.deploy.demo.test_promises import answer, item


def look(at_s: float, chat: int, **per_minute: int) -> Look:
    text = (
        f'tidecast_records_read_total{{topic="chat"}} {chat}\n'
        f'tidecast_records_read_total{{topic="room-activity"}} {chat * 100}\n'
        f"tidecast_texts_encoded_total {chat / 2}\n"
    )
    rooms = [replace(item(room), chat_per_minute=rate) for room, rate in per_minute.items()]
    return Look(at_s, parse(text), rooms)


def picture(history: History, elapsed_s: float = 3.0, broken: tuple[str, ...] = ()) -> Picture:
    return Picture(
        elapsed_s=elapsed_s,
        answers=[answer(item("a"), item("b")), answer()],
        trends=history.trends(),
        rooms_live=2,
        rooms_ended=1,
        rates=history.rates(),
        freshness_p50_s=0.25,
        freshness_p99_s=None,
        stale=0,
        backlog=0,
        model="v0 (none learned yet)",
        checked=7,
        broken=broken,
    )


@pytest.fixture
def history() -> History:
    history = History()
    history.add(look(0.0, chat=0, a=10, b=50, c=5))
    history.add(look(5.0, chat=100, a=40, b=5, d=20))
    return history


def test_rates_are_means_over_the_looks_that_are_kept(history: History) -> None:
    assert (history.rates().events, history.rates().texts, history.rates().answers) == (20, 10, 0)


def test_rooms_are_ordered_by_how_much_their_chat_changed(history: History) -> None:
    assert [(trend.room.room, trend.change) for trend in history.trends()] == [("b", -45), ("a", 30), ("d", 20)]


def test_what_is_older_than_the_trend_is_forgotten(history: History) -> None:
    history.add(look(5.0 + TREND_S, chat=100))
    assert history.first.at_s == 5.0
    assert history.rates().events == 0


def test_single_look_has_no_rates() -> None:
    history = History()
    history.add(look(0.0, chat=100, a=1))
    assert history.rates().events == 0


def test_screen_shows_answers_trends_and_what_is_broken(history: History) -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(draw(picture(history), 160, 50))
    console.print(draw(picture(history, broken=("a request failed",)), 160, 50))
    text = console.export_text()
    assert "every promise kept" in text
    assert "a request failed" in text
    assert "▼ -45" in text
    assert "20 events/s" in text
    assert "p50 250 ms, p99 -" in text


def test_text_of_producers_is_shown_as_it_is_and_cannot_move_the_cursor(history: History) -> None:
    shown = answer(item("a", reason="[bold]because[/nonsense]\x1b[2J"))
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(draw(replaced(picture(history), answers=[shown]), 160, 50))
    text = console.export_text()
    assert "[bold]because[/nonsense]\ufffd[2J" in text
    assert "\x1b[2J" not in text


def test_lines_come_every_few_seconds(history: History) -> None:
    out = io.StringIO()
    lines = ScreenLines(out)
    for elapsed_s in (0.0, 1.0, LINE_EVERY_S - 0.1, LINE_EVERY_S):
        lines.update(picture(history, elapsed_s))
    assert out.getvalue().count("\n") == 2
    assert "v -> a (trending, 40 ms old)" in out.getvalue()


@pytest.mark.parametrize(("width", "height"), [(100, 30), (80, 24), (120, 40), (160, 50), (200, 24)])
def test_screen_shows_all_three_viewers_within_the_terminal(history: History, width: int, height: int) -> None:
    title = "Speedrunning the whole game again, no glitches, 長い配信 with viewers until somebody beats the record " * 2
    rooms = [
        msgspec.structs.replace(item(f"room-{n}", reason="similar to somebody with a long name"), title=title)
        for n in range(10)
    ]
    answers = [msgspec.structs.replace(answer(*rooms), viewer=f"viewer-{n}") for n in range(3)]
    trends = [Trend(room, 12 - n) for n, room in enumerate(rooms)]
    console = Console(width=width, height=height, file=io.StringIO())
    lines = console.render_lines(draw(replaced(picture(history), answers=answers, trends=trends), width, height))
    texts = ["".join(segment.text for segment in line) for line in lines]
    assert len(texts) <= height
    assert all(cell_len(text) <= width for text in texts)
    assert all(any(f"viewer-{n} is shown" in text for text in texts) for n in range(3))
    assert sum(text.count("simil") for text in texts) >= 3, "every viewer is shown rooms with reasons"


@pytest.mark.parametrize(("width", "height"), [(60, 30), (40, 24), (20, 10)])
def test_screen_on_a_tiny_terminal_is_still_drawn(history: History, width: int, height: int) -> None:
    answers = [msgspec.structs.replace(answer(item("a")), viewer=f"viewer-{n}") for n in range(3)]
    console = Console(width=width, height=height, file=io.StringIO())
    assert console.render_lines(draw(replaced(picture(history), answers=answers), width, height))


def replaced(shown: Picture, **changes: object) -> Picture:
    return dataclasses.replace(shown, **changes)  # type: ignore[arg-type]
