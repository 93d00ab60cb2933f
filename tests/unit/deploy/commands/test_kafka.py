"""Tests of what `tidecast kafka stop` asks before it stops a broker that a system uses. Starts no broker."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.local.system import Running, System
from streaming.local_kafka import LocalKafka

SERVERS = "127.0.0.1:9092"
RUNNING = Running(
    url="http://127.0.0.1:8000",
    bootstrap_servers=SERVERS,
    ray_address="",
    ray_folder="",
    kafka_started=True,
    started_at_ms=0,
)


class Terminal(io.StringIO):
    """Somebody who types one line."""

    def isatty(self) -> bool:
        return True


Stop = Callable[..., tuple[int, bool]]


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stop:
    """Runs the command; gives its exit code, and whether the broker was stopped."""
    stopped: list[bool] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LocalKafka, "pid", lambda _self: 1)
    monkeypatch.setattr(LocalKafka, "stop", lambda _self: stopped.append(True) or True)

    def run(*words: str, used_by: Running | None, typed: str | None = None) -> tuple[int, bool]:
        monkeypatch.setattr(System, "living", lambda _self: used_by)
        monkeypatch.setattr(sys, "stdin", io.StringIO() if typed is None else Terminal(typed))
        stopped.clear()
        return main(["kafka", "stop", *words]), bool(stopped)

    return run


def test_a_broker_that_nobody_uses_is_stopped_without_a_question(stop: Stop) -> None:
    assert stop(used_by=None) == (0, True)


def test_a_broker_of_another_address_is_not_that_systems(stop: Stop) -> None:
    other = Running(
        **{name: getattr(RUNNING, name) for name in Running.__struct_fields__} | {"bootstrap_servers": "b:1"}
    )
    assert stop(used_by=other) == (0, True)


@pytest.mark.parametrize(("typed", "expected"), [("y\n", (0, True)), ("Yes\n", (0, True)), ("\n", (2, False))])
def test_whoever_sits_at_a_terminal_is_asked(
    stop: Stop, typed: str, expected: tuple[int, bool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert stop(used_by=RUNNING, typed=typed) == expected
    assert "the system at http://127.0.0.1:8000 uses this Kafka" in capsys.readouterr().out


def test_without_a_terminal_it_is_refused_unless_yes_is_given(stop: Stop, capsys: pytest.CaptureFixture[str]) -> None:
    assert stop(used_by=RUNNING) == (2, False)
    assert "give --yes" in capsys.readouterr().err
    assert stop("--yes", used_by=RUNNING) == (0, True)
