"""Tests of `tidecast letters` on a log in memory."""

from __future__ import annotations

import json

import pytest

from deploy import cli
from streaming.clock import ManualClock
from streaming.events import DeadLetter
from streaming.log.codec import encode
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import DEAD_LETTER
from streaming.troubles import Trouble


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    log = MemoryLog(ManualClock(), {DEAD_LETTER: 1})
    monkeypatch.setattr("streaming.broker.KafkaLog", lambda *_, **_options: log)
    return log


def refuse(log: MemoryLog, *letters: tuple[str, bytes | None, str]) -> None:
    sink = log.sink()
    for at, (topic, value, error) in enumerate(letters):
        letter = DeadLetter(
            topic=topic, partition=2, offset=at, key=b"k\x1b[2J", value=value, error=error, at_ms=1_764_000_000_000 + at
        )
        sink.send(DEAD_LETTER, None, encode(letter))
    sink.flush()
    sink.close()


def test_newest_letters_are_shown_with_where_and_why(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(log, ("chat", b"{", "chat: cut"), ("rooms", b"x", "rooms: no room"), ("chat", None, "chat: no value"))
    assert cli.main(["letters", "-n", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "rooms-2 at 1 key k\ufffd[2J  rooms: no room" in lines[0]
    assert "chat-2 at 2" in lines[1]


def test_letters_are_chosen_by_topic_and_reason(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(log, ("chat", b"{", "chat: cut"), ("rooms", b"x", "rooms: no room"))
    assert cli.main(["letters", "--topic", "rooms", "--error", "no room", "--values"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "    x"
    assert cli.main(["letters", "--topic", "rooms", "--error", "other"]) == 0
    assert "no record was refused of rooms" in capsys.readouterr().out


def test_counts_are_by_topic_and_reason(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(log, *[("chat", b"{", "chat: cut")] * 3, ("rooms", b"x", "rooms: no room"))
    assert cli.main(["letters", "--count"]) == 0
    assert [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()] == [
        ["3", "chat", "cut"],
        ["1", "rooms", "no room"],
    ]


def test_json_has_the_whole_value_and_bytes_that_are_no_text(
    log: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(log, ("chat", b"\xff" * 3_000, "chat: not UTF-8"), ("chat", None, "chat: no value"))
    assert cli.main(["letters", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(first["value"]["base64"]) == 4_000
    assert second["value"] is None


def test_letter_of_another_build_is_said_and_hides_no_other(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    sink = log.sink()
    sink.send(DEAD_LETTER, None, b"not a letter")
    sink.flush()
    refuse(log, ("chat", b"{", "chat: cut"))
    assert cli.main(["letters"]) == 0
    said = capsys.readouterr()
    assert "cannot be read" in said.err
    assert "chat: cut" in said.out


def test_unknown_topic_is_refused_with_the_known_ones(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["letters", "--topic", "chta"]) == 2
    assert "the topics are rooms, chat" in capsys.readouterr().err


def test_letters_that_cannot_be_read_are_said_and_not_waited_for(
    log: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(log, ("chat", b"{", "chat: cut"), ("chat", b"x", "chat: worse"))
    log.trouble(Trouble(DEAD_LETTER, 0, 1, "damaged", "offset 1: a batch fails its checksum"))
    assert cli.main(["letters"]) == 1
    said = capsys.readouterr()
    assert "dead-letter partition 0: offset 1: a batch fails its checksum" in said.err
    assert "chat: cut" in said.out
    assert "chat: worse" not in said.out
