"""Tests of deploy.console.shown_text: what strangers wrote keeps its place."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.console.shown_text import MARKS, shown, typed
from deploy.terminal.console import UNSAFE


@pytest.mark.parametrize(
    "text", ["Silent Peak", "Nguyễn Việt", "שָׁלוֹם", "👩‍👩‍👧‍👦 family", "<b>not markup</b> {{ 1 }}", "مرحبا"]
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_what_turns_lines_around_or_moves_a_cursor_is_replaced() -> None:
    assert shown("a\u202egnp\u2066.exe\x1b[31m\nb") == "a\ufffdgnp\ufffd.exe\ufffd[31m b"


def test_long_text_is_cut_and_says_so() -> None:
    assert shown("W" * 2_000, 10) == "W" * 9 + "…"
    assert shown("short", 10) == "short"


def test_towers_of_marks_are_levelled() -> None:
    tower = "a" + "\u0301\u0302\u0303" * 50
    assert len(shown(tower + "b")) == 2 + MARKS


def test_what_is_typed_can_be_sent_whatever_it_holds() -> None:
    assert typed("  bob ") == "bob"
    assert typed(None) == ""
    assert typed("a\ud83d") == "a?"


@given(st.text(max_size=3_000), st.integers(2, 200))
def test_no_text_is_longer_than_asked_or_holds_a_control(text: str, limit: int) -> None:
    said = shown(text, limit)
    assert len(said) <= limit
    assert not UNSAFE.search(said)
    runs = "".join("m" if unicodedata.category(one).startswith("M") else " " for one in said).split()
    assert all(len(run) <= MARKS for run in runs)
