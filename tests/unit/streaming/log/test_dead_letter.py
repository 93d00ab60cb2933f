"""Tests of what stands on the dead-letter topic and how it is counted."""

from __future__ import annotations

import pytest

from streaming.clock import ManualClock
from streaming.errors import MalformedRecord, UnknownVersion
from streaming.events import DeadLetter
from streaming.log.codec import Decoder
from streaming.log.dead_letter import MAX_VALUE_BYTES, DeadLetters
from streaming.log.memory_log import MemoryLog
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import DEAD_LETTER
from streaming.troubles import Skipped


class CountingMetrics:
    """Keeps what was counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, float, dict[str, str]]] = []

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counted.append((name, amount, labels))

    def gauge(self, name: str, value: float, **labels: str) -> None:
        raise AssertionError("dead letters set no gauge")

    def observe(self, name: str, value: float, **labels: str) -> None:
        raise AssertionError("dead letters observe nothing")


def refuse(value: bytes | None, error: Exception | str, key: bytes | None = b"k") -> tuple[DeadLetter, CountingMetrics]:
    clock = ManualClock()
    log, metrics = MemoryLog(clock, {DEAD_LETTER: 1}), CountingMetrics()
    letters = DeadLetters(log.sink(), metrics, clock)
    letters.refuse(MemoryRecord("chat", 3, 17, 5, key, value), error)
    (records,) = log.reader(log.partitions(DEAD_LETTER)).poll(0).records.values()
    letter: DeadLetter = Decoder(DEAD_LETTER)(records[0].value or b"")
    return letter, metrics


def test_a_letter_says_where_the_record_stood_what_it_was_and_why() -> None:
    letter, _ = refuse(b"\xffraw", MalformedRecord("not JSON"))
    assert (letter.topic, letter.partition, letter.offset) == ("chat", 3, 17)
    assert (letter.key, letter.value, letter.error) == (b"k", b"\xffraw", "not JSON")
    assert letter.at_ms == ManualClock().now_ms()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MalformedRecord("x"), "malformed"), (UnknownVersion("x"), "unknown_version"), ("from the future", "refused")],
)
def test_letters_are_counted_by_topic_and_a_bounded_reason(error: Exception | str, reason: str) -> None:
    _, metrics = refuse(b"", error)
    assert metrics.counted == [("dead_letters_total", 1, {"topic": "chat", "reason": reason})]


def test_a_megabyte_is_cut_and_the_letter_says_so() -> None:
    letter, _ = refuse(b"x" * 1_000_000, "refused", key=b"y" * 5_000)
    assert letter.value == b"x" * MAX_VALUE_BYTES
    assert "value cut from 1000000" in letter.error
    assert "key cut from 5000" in letter.error


def test_neither_key_nor_value_nor_plain_words_are_needed() -> None:
    letter, _ = refuse(None, "quotes \ud800", key=None)
    assert (letter.key, letter.value, letter.error) == (None, None, "quotes ?")


def test_a_letter_about_lost_offsets_names_the_first_and_the_last() -> None:
    clock = ManualClock()
    log, metrics = MemoryLog(clock, {DEAD_LETTER: 1}), CountingMetrics()
    DeadLetters(log.sink(), metrics, clock).lost(Skipped("chat", 3, 40, 59, "a batch fails its checksum"))
    (records,) = log.reader(log.partitions(DEAD_LETTER)).poll(0).records.values()
    letter: DeadLetter = Decoder(DEAD_LETTER)(records[0].value or b"")
    assert (letter.topic, letter.partition, letter.offset, letter.last_offset) == ("chat", 3, 40, 59)
    assert (letter.key, letter.value) == (None, None)
    assert letter.error == "offsets 40 to 59 are lost: a batch fails its checksum"
    assert metrics.counted == [("dead_letters_total", 1, {"topic": "chat", "reason": "damaged"})]
