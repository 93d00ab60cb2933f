"""Tests of deploy.terminal.columns and of the tables made with it: they fit, and what matters most stays."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from deploy.commands import recommend, rooms, status
from deploy.http.status import Post, SystemStatus
from deploy.terminal.columns import GAP, Column, fitted
from tests.unit.deploy.demo.test_promises import answer, item

TITLES = (
    "🔴LIVE🔴 24 hour charity stream day 3!! !donate !discord !socials | road to 10k followers | drops enabled",
    "【参加型】朝まで生配信!初見さん大歓迎、コメントで参加方法を聞いてください【スプラトゥーン3】ガチマッチ全部やる",
    "مباشر الآن: نلعب مع المتابعين حتى الفجر، شاركوا معنا في الدردشة واربحوا الجوائز اليومية الكبيرة",
    "plain",
    "",
)
LIVE = [
    replace(
        item(f"room-{n}-of-a-platform-1a228b3b85a"),
        title=title,
        category="Just Chatting and Other Things",
        language="pt-BR",
        audience=123_456,
        chat_per_minute=9_876,
        reason="similar to averylongstreamername, where you were",
    )
    for n, title in enumerate(TITLES * 2)
]


def printed(width: int, draw: object) -> list[str]:
    out = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    draw(out)  # type: ignore[operator]
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 120, 160])
def test_rooms_fit_and_say_which_room_and_how_many_watch(width: int) -> None:
    lines = printed(width, lambda out: rooms.show(out, [*LIVE, *LIVE], now_ms=1_764_000_000_000))
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) == 1 + 2 * len(LIVE) <= 24
    assert all("123456" in line and "room-" in line for line in lines[1:])
    assert all("9876" in line for line in lines[1:])


@pytest.mark.parametrize("width", [80, 120, 160])
@pytest.mark.parametrize("explain", [False, True])
def test_recommendations_fit_and_say_why(width: int, explain: bool) -> None:
    terms = {f"a_long_name_of_a_term_{n}": 0.1 * n for n in range(12)}
    items = [replace(one, terms=terms) if explain else one for one in LIVE]
    lines = printed(width, lambda out: out.print(recommend.picture(answer(*items), width)))
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) <= 24
    assert sum("similar to ave" in line for line in lines) == len(LIVE)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_status_fits_and_says_lag_and_who_is_silent(width: int) -> None:
    detail = {
        "member": "room-worker-0",
        "partitions": list(range(16)),
        "lag": {"rooms": 0, "chat": 1_234_567, "room-activity": 12},
        "contact_age_s": 0.12,
        "records_per_s": 43_210.0,
        **{f"another_figure_{n}": 1.0 for n in range(12)},
    }
    posts = [
        Post(name="room-worker", rank=n, pid=123_456, node="node", at_ms=1_000_000 - 9_000 * n, detail=detail)
        for n in range(8)
    ]
    lines = printed(width, lambda out: status.show(out, SystemStatus(at_ms=1_000_000, processes=posts)))
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) == 1 + 2 * len(posts) <= 24
    assert sum("chat 1234567" in line for line in lines) == len(posts)
    assert "silent for 63 s" in lines[-2]


COLUMNS = st.lists(
    st.tuples(st.text(max_size=12), st.integers(0, 5), st.integers(0, 30), st.integers(0, 300)), min_size=1, max_size=9
)


@given(COLUMNS, st.integers(1, 300))
def test_columns_never_take_more_than_the_width_unless_each_is_one_cell(
    wanted: list[tuple[str, int, int, int]], width: int
) -> None:
    columns = [Column(name, rank, least) for name, rank, least, _ in wanted]
    natural = [max(cell_len(name), cells) for name, _, _, cells in wanted]
    widths = fitted(columns, natural, width)
    total = sum(widths.values()) + GAP * (len(widths) - 1)
    assert total <= width or all(cells <= 1 for cells in widths.values())
    assert all(cells <= natural[at] or cells <= 1 for at, cells in widths.items())
    assert {at for at, column in enumerate(columns) if not column.rank} <= widths.keys()


def test_first_to_go_is_the_last_in_rank() -> None:
    columns = [Column("a"), Column("b", rank=2), Column("c", rank=1)]
    assert set(fitted(columns, [10, 10, 10], 25)) == {0, 2}


def test_cell_with_markup_is_text() -> None:
    lines = printed(80, lambda out: rooms.show(out, [replace(LIVE[0], title="[red]title[/red]")], now_ms=0))
    assert "[red]title[/red]" in lines[1]
    assert Text("x").plain == "x"
