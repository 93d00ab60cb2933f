"""The vectors of texts are kept within bounds, and no longer than their Encoder may be taken for granted."""

from __future__ import annotations

from actors.requests.text_vectors import TextVectors
from actors.settings import SearchConfig
from streaming.clock import ManualClock
from tests.unit.actors.replica import text_vector


def test_the_least_recently_asked_text_goes_first() -> None:
    vectors = TextVectors(SearchConfig(cached_texts=2), ManualClock())
    vectors.put("a", text_vector(1))
    vectors.put("b", text_vector(2))
    assert vectors.get("a", "test") is not None
    vectors.put("c", text_vector(3))
    assert len(vectors) == 2
    assert [vectors.get(text, "test") is not None for text in "abc"] == [True, False, True]


def test_a_text_is_asked_for_anew_after_a_while() -> None:
    clock = ManualClock()
    vectors = TextVectors(SearchConfig(cache_s=5.0), clock)
    vectors.put("a", text_vector(1))
    clock.advance(4_000)
    assert vectors.get("a", "test") is not None
    clock.advance(2_000)
    assert vectors.get("a", "test") is None
    assert len(vectors) == 0


def test_a_vector_is_known_only_to_whoever_reads_the_same_encoder() -> None:
    vectors = TextVectors(SearchConfig(), ManualClock())
    vectors.put("a", text_vector(1))
    vectors.put("b", text_vector(1, version="another"))
    assert vectors.get("a", "another") is None
    assert vectors.get("b", "another") is not None
    assert vectors.get("a", "test") is not None
    assert vectors.get("a", "") is not None
    vectors.put("a", text_vector(2, version="another"))
    assert vectors.get("a", "test") is None
