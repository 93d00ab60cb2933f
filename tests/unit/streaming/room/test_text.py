"""Tests of how chat becomes text, how a language is guessed and how vectors are stored. Never opens a window."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.room.language import guess_language
from streaming.room.saying import normalise
from streaming.room.sketch import TextSample, unit_hashes
from streaming.room.text import SampledText, build_chat_text, build_title_text, text_hash
from streaming.room.vectors import from_bytes, to_bytes, updated_mean


def sample(*texts: str, at_ms: int = 0, limit: int = 48) -> list[SampledText]:
    said = TextSample(limit)
    for i, text in enumerate(texts):
        said.update([text], [at_ms + i])
    return said.newest_first()


def test_a_thousand_copies_of_one_emote_do_not_crowd_out_what_is_said() -> None:
    said = sample(*["KEKW"] * 1_000, "the boss is almost dead", *["KEKW KEKW KEKW"] * 1_000, "kekw")
    assert build_chat_text([said], max_chars=30, message_chars=200) == "kekw\nthe boss is almost dead"


def test_what_is_said_goes_before_emotes_where_both_do_not_fit() -> None:
    said = sample(*(f"emote{i}" for i in range(40)), "what a play")
    text = build_chat_text([said], max_chars=20, message_chars=200)
    assert text.splitlines()[0] == "what a play"
    assert len(text) <= 20


def test_every_slice_gets_its_turn() -> None:
    slices = [
        sample(*(f"{name} says {i:02}" for i in range(40)), at_ms=at) for name, at in (("new", 500), ("old", 100))
    ]
    lines = build_chat_text(slices, max_chars=100, message_chars=200).splitlines()
    assert [sum(line.startswith(name) for line in lines) for name in ("old", "new")] == [4, 4]
    assert lines == sorted(lines, key=lambda line: (line.startswith("new"), line), reverse=True), "newest first"
    assert lines[0] == "new says 39", "the newest message is in it"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  a\t b\n\nc ", "a b c"),
        ("LUL LUL LUL", "LUL"),
        ("a\x00b\x1b[31m", "a b [31m"),
        ("e\u0301", "é"),
        ("👩\u200d🚀 go", "👩\u200d🚀 go"),
        ("\u202eevil", "evil"),
        ("", ""),
        ("\x07\x07", ""),
        ("word " * 1_000 + "y", "word"),
        ("xyz" * 1_000_000, "xyzxyzxy"),
        ("\ud800", ""),
    ],
)
def test_messages_are_cleaned(raw: str, clean: str) -> None:
    assert normalise(raw, 200) == clean


def test_title_category_and_tags_are_one_text() -> None:
    assert build_title_text("Boss\nrush", "Elden Ring", ["souls", ""], 300) == "Boss rush. Elden Ring. souls"
    assert build_title_text("", "", [], 300) == ""


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from streaming.room.text import text_hash; print(text_hash('tide'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == text_hash("tide")
    assert text_hash("") == 0
    assert -(2**63) <= text_hash("tide") < 2**63


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("what is the name of this song and why is it not in the game", "en"),
        ("no sé por qué está así pero es muy bueno", "es"),
        ("você não sabe o que isso é", "pt"),
        ("je ne sais pas pourquoi il est dans les choux", "fr"),
        ("ich weiß nicht was das ist und wie", "de"),
        ("今日はとても楽しい KEKW", "ja"),
        ("오늘 정말 재미있다 LUL", "ko"),
        ("今天很开心", "zh"),
        ("что происходит", "ru"),
        ("KEKW LUL Pog", ""),
        ("", ""),
        ("the", ""),
    ],
)
def test_a_language_is_guessed_where_the_text_speaks_clearly(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_a_mean_that_was_stored_folds_on_exactly() -> None:
    random = np.random.default_rng(7)
    mean = b""
    for vector_D in random.normal(size=(50, 8)):
        vector = to_bytes(vector_D)
        assert updated_mean(to_bytes(from_bytes(mean)), vector, 0.2) == updated_mean(mean, vector, 0.2)
        mean = updated_mean(mean, vector, 0.2)


@given(
    said=st.lists(st.tuples(st.text("abAé\ud800", max_size=3), st.integers(0, 9)), max_size=80),
    limit=st.integers(1, 3),
    size=st.integers(1, 80),
)
def test_a_sample_is_the_same_whether_texts_come_one_by_one_or_many_at_once(
    said: list[tuple[str, int]], limit: int, size: int
) -> None:
    singly, together = TextSample(limit), TextSample(limit)
    for text, at_ms in said:
        singly.update([text], [at_ms])
    for start in range(0, len(said), size):
        part = said[start : start + size]
        together.update([text for text, _ in part], [at_ms for _, at_ms in part])
    assert together.newest_first() == singly.newest_first()
    smallest = sorted({text for text, _ in said}, key=lambda text: (unit_hashes([text]), text))[:limit]
    counts = Counter(text for text, _ in said)
    first = {text: min(at_ms for other, at_ms in said if other == text) for text in smallest}
    assert together.newest_first() == sorted((-first[text], text, counts[text]) for text in smallest)
