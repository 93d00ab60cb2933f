"""Plays recordings and the simulated platform into a real Kafka through the command line, and reads what is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from deploy.terminal.progress_bars import PlayProgress
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.events import RoomEnded, RoomStarted
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import Decoder
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS, TopicsConfig
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "twitch-chat-2025"
INPUTS = (ROOMS, CHAT, VIEWER_EVENTS)
needs_recording = pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded chat at {RECORDED}")


@pytest.fixture
def log(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[KafkaLog]:
    """The log with its topics, and the environment that points `tidecast` to it."""
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix))
    monkeypatch.setenv("TIDECAST_KAFKA__BOOTSTRAP_SERVERS", kafka_config.bootstrap_servers)
    monkeypatch.setenv("TIDECAST_TOPICS__PREFIX", topic_prefix)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    yield kafka_log


def on_log(log: KafkaLog, topic: str) -> dict[int, list[Any]]:
    """Every record of a topic, decoded, by partition in order."""
    partitions = log.partitions(topic)
    ends, decode = log.ends(partitions), Decoder(topic)
    source = log.reader(partitions)
    found: dict[int, list[Any]] = {partition.index: [] for partition in partitions}
    deadline_s = time.monotonic() + 60
    while sum(map(len, found.values())) < sum(ends.values()) and time.monotonic() < deadline_s:
        for partition, records in source.poll(0.5).records.items():
            found[partition.index] += [decode(record.value or b"") for record in records]
    source.close()
    return found


def flat(found: dict[int, list[Any]]) -> list[Any]:
    return [record for records in found.values() for record in records]


@pytest.mark.recorded
@needs_recording
def test_a_recorded_window_is_on_the_log_in_order_and_happens_now(
    log: KafkaLog, capsys: pytest.CaptureFixture[str]
) -> None:
    before_ms = time.time_ns() // 1_000_000
    files = [str(RECORDED / "chat.parquet"), "--channels", str(RECORDED / "channels.csv")]
    assert main(["replay", *files, "--window", "0", "--fast", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["rows_played"]) == (631, 631)
    chat, visits, rooms = (on_log(log, topic) for topic in (CHAT, VIEWER_EVENTS, ROOMS))
    assert len(flat(chat)) == 631
    assert Counter(event.action for event in flat(visits))["chat"] == 631
    started = {record.room for record in flat(rooms) if isinstance(record, RoomStarted)}
    assert started == {record.room for record in flat(rooms) if isinstance(record, RoomEnded)}
    assert started == {message.room for message in flat(chat)}
    for records in chat.values():
        times = [message.at_ms for message in records]
        assert times == sorted(times)
    newest_ms = max(message.at_ms for message in flat(chat))
    assert before_ms - 1_000 < newest_ms < time.time_ns() // 1_000_000 + 1_000


@pytest.mark.recorded
@needs_recording
def test_recorded_times_are_kept_when_asked(log: KafkaLog) -> None:
    file = str(RECORDED / "chat.parquet")
    assert main(["replay", file, "--window", "0", "--limit", "50", "--fast", "--time", "recorded"]) == 0
    assert min(message.at_ms for message in flat(on_log(log, CHAT))) == 1_739_751_496_177


def test_a_bad_recording_is_said_and_nothing_is_written(
    log: KafkaLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("at,channel,text\n2025-01-01,a,x\n")
    assert main(["replay", str(tmp_path / "bad.csv"), "--fast"]) == 2
    assert "bad.csv: no column viewer" in capsys.readouterr().err
    assert flat(on_log(log, CHAT)) == []


ROWS = (
    '{{"at_ms":{0},"channel":"ana","viewer":1,"text":"x"}}\n'
    '{{"at_ms":{0},"channel":"ana","viewer":"guest7","text":null}}\n'
    '{{"at_ms":{0},"channel":"ana","viewer":"{1}","text":"y"}}\n'
)


def test_a_row_that_would_be_a_dead_letter_is_said_before_anything_is_written_or_left_out_when_asked(
    log: KafkaLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(ROWS.format(1_739_751_496_177, "v" * 129))
    assert main(["replay", str(path), "--fast"]) == 2
    assert "chat.jsonl: row 3: viewer is 129 characters long" in capsys.readouterr().err
    assert [flat(on_log(log, topic)) for topic in INPUTS] == [[], [], []]
    assert main(["replay", str(path), "--fast", "--skip-bad", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["bad_rows"] == {"an id that is too long": 1}
    assert "left out 1 bad: an id that is too long; the first is row 3" in said.err
    assert sorted((message.viewer, message.text) for message in flat(on_log(log, CHAT))) == [("1", "x"), ("guest7", "")]


def test_a_log_of_a_chat_client_is_on_the_log_as_chat_rooms_and_visits(
    log: KafkaLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "show-2025-02-16.log"
    path.write_text("# Start logging at 2025-02-16 23:59:50 CET\n[23:59:58]  ana: hi\n[00:00:01]  bob: hello: you\n")
    assert main(["replay", str(path), "--fast", "--time", "recorded", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_played"] == 2
    chat = sorted((message.at_ms, message.viewer, message.text) for message in flat(on_log(log, CHAT)))
    assert chat == [(1_739_746_798_000, "ana", "hi"), (1_739_746_801_000, "bob", "hello: you")]
    assert {record.streamer for record in flat(on_log(log, ROOMS)) if isinstance(record, RoomStarted)} == {"show"}


def test_processes_together_write_one_platform_with_each_key_in_order(
    log: KafkaLog, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float, int]] = []
    monkeypatch.setattr(PlayProgress, "update", lambda _self, done, played: told.append((done, played.events)))
    size = ["--rooms", "20", "--viewers", "200", "--room-lifetime-s", "40", "--seed", "5"]
    truth = ["--truth", str(tmp_path / "truth.json")]
    assert main(["simulate", "--fast", "--duration", "60", "--processes", "2", "--json", *size, *truth]) == 0
    summary = json.loads(capsys.readouterr().out)
    found = {topic: on_log(log, topic) for topic in INPUTS}
    start_ms = min(record.at_ms for record in flat(found[ROOMS]))
    config = SimulationConfig(rooms=20, viewers=200, room_lifetime_s=40, seed=5)
    platform = Platform(config)
    expected = list(platform.events(start_ms, start_ms + 60_000))
    assert summary["events"] == len(expected)
    assert told == sorted(told), "how far it is goes forward"
    assert told[0][0] < told[-1][0] <= 60
    assert 0 < told[-1][1] <= len(expected)
    expected += platform.close()
    for topic in INPUTS:
        wanted = [event.record for event in expected if event.topic == topic]
        written = flat(found[topic])
        assert len(written) == len(wanted)
        key = "viewer" if topic == VIEWER_EVENTS else "room"
        for name in {getattr(record, key) for record in wanted}:
            of_key = [record for record in written if getattr(record, key) == name]
            assert of_key == [record for record in wanted if getattr(record, key) == name]
    assert json.loads((tmp_path / "truth.json").read_text())["config"]["seed"] == 5


def test_ctrl_c_ends_a_live_simulation_with_its_rooms_ended(log: KafkaLog) -> None:
    command = [sys.executable, "-m", "deploy.cli", "simulate", "--rooms", "20", "--viewers", "200"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ, cwd=Path(__file__).parents[2]
    )
    deadline_s = time.monotonic() + 60
    while not flat(on_log(log, CHAT)) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "events in" in out
    rooms = flat(on_log(log, ROOMS))
    started = {record.room for record in rooms if isinstance(record, RoomStarted)}
    assert len(started) >= 20
    assert started <= {record.room for record in rooms if isinstance(record, RoomEnded)}
    lateness_ms = [message.at_ms - time.time_ns() // 1_000_000 for message in flat(on_log(log, CHAT))]
    assert max(lateness_ms) < 0
