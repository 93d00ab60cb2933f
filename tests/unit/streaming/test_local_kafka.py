"""Tests of what the local Kafka is told and what it refuses, without starting one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from streaming import local_kafka
from streaming.errors import ConfigError, LocalKafkaError
from streaming.local_kafka import LocalKafka, LocalKafkaConfig, answers, find_jars


def made(folder: Path, **settings: int) -> LocalKafka:
    return LocalKafka(LocalKafkaConfig(folder=str(folder), **{"port": 0, "controller_port": 0, **settings}))  # type: ignore[arg-type]


def test_the_settings_are_those_of_one_node_that_is_soon_back(tmp_path: Path) -> None:
    lines = made(tmp_path, port=19092, controller_port=19093).settings().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert settings["log.dirs"] == str(tmp_path / "data")
    assert settings["broker.session.timeout.ms"] == "2000"
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["group.initial.rebalance.delay.ms"] == "0"
    for topic in ("offsets.topic", "transaction.state.log"):
        assert settings[f"{topic}.replication.factor"] == "1"
    assert settings["transaction.state.log.min.isr"] == "1"


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalKafkaError, match=rf"port {port} on 127.0.0.1 is taken.*local_kafka.port"):
            made(tmp_path, port=port).start()
    assert not (tmp_path / "kafka.pid").exists()


def test_its_folder_which_holds_chat_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NotStartedError(Exception):
        """Everything before the broker's process is done."""

    def stops(*_: object) -> None:
        raise NotStartedError

    monkeypatch.setattr(local_kafka, "find_jars", list)
    monkeypatch.setattr(LocalKafka, "_format", stops)
    folder = tmp_path / "kafka"
    (folder / "data").mkdir(parents=True)  # as an earlier release has left them
    for made_before in (folder, folder / "data"):
        made_before.chmod(0o755)
    with pytest.raises(NotStartedError):
        made(folder).launch()
    assert [place.stat().st_mode & 0o777 for place in (folder, folder / "data")] == [0o700, 0o700]


def test_missing_jars_are_said_with_the_command_that_fetches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    jgo = pytest.importorskip("jgo")

    def unreachable(_coordinates: str) -> None:
        raise OSError("Failed to resolve 'repo.maven.apache.org'")

    monkeypatch.setattr(jgo, "build", unreachable)
    with pytest.raises(LocalKafkaError, match=r"repo\.maven.*tidecast kafka fetch"):
        find_jars()


def test_the_pid_of_another_program_is_not_ours_to_stop(tmp_path: Path) -> None:
    (tmp_path / "kafka.pid").write_text(str(os.getpid()))
    kafka = made(tmp_path)
    assert kafka.pid() is None
    assert kafka.stop() is False
    assert kafka.kill() is False


@pytest.mark.parametrize("text", ["", "not a number", "-1", "99999999999"])
def test_a_broken_pid_file_means_that_nothing_runs(tmp_path: Path, text: str) -> None:
    (tmp_path / "kafka.pid").write_text(text)
    assert made(tmp_path).status().pid is None


def test_nothing_answers_where_nobody_listens_or_speaks_another_protocol() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert not answers("127.0.0.1", port, timeout_s=0.2)
        silent.listen()
        assert not answers("127.0.0.1", port, timeout_s=0.2)


@pytest.mark.parametrize(
    "settings", [{"port": 70_000}, {"port": -1}, {"port": 9093, "controller_port": 9093}, {"memory_mb": 10}]
)
def test_impossible_settings_are_named(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="local_kafka"):
        LocalKafkaConfig(**settings)  # type: ignore[arg-type]


def test_the_version_is_the_one_that_is_fetched() -> None:
    assert local_kafka.KAFKA_VERSION in local_kafka.COORDINATES
