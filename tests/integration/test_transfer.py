"""An installation moves to another on a real Kafka: real workers before and after, the same recommendations."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from actors.index.live_index import LiveIndex
from actors.intake.erasures import ErasureWriter
from actors.recommend.recommender import Query, Recommender
from actors.recommend.schema import Answer
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import TableReader, Tables
from deploy import cli
from deploy.transfer.export import Exporter
from deploy.transfer.load import Importer, Loaded
from deploy.transfer.manifest import MANIFEST, Encoding, ExportError
from streaming.archive.store import open_store
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import ManualClock, SystemClock
from streaming.events import ViewerEvent, ViewerId, ViewerProfile
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import VIEWER_EVENTS, VIEWER_PROFILES, TopicsConfig
from streaming.metrics import MemoryMetrics
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION
from tests.integration.test_workers import Platform
from tests.integration.worker_group import WorkerProcess, await_owners, await_true
from tests.reference import published_profiles, published_states
from tests.s3_server import S3Server
from tests.unit.deploy.transfer.transfer_world import Told
from tests.unit.training.inference.versions import bundle
from training.registry.registry import Registry

DATA = ("rooms", "profiles")
ENCODING = Encoding(version=FAKE_VERSION, dimension=FAKE_DIMENSION)
MEMBERS = {"room": "room-worker-0", "profile": "profile-worker-0"}
ERASED = "v0"


class Installation:
    """One prefix on the broker."""

    def __init__(self, config: KafkaConfig, prefix: str, partitions: int) -> None:
        self.config, self.prefix = config, prefix
        self.log = KafkaLog(config, prefix)
        topics = TopicsConfig(prefix=prefix, room_partitions=partitions, viewer_partitions=partitions)
        with KafkaAdmin(config) as admin:
            check_topics(admin, topics)

    def start(self) -> list[WorkerProcess]:
        servers = self.config.bootstrap_servers
        workers = [WorkerProcess(kind, servers, self.prefix, member) for kind, member in MEMBERS.items()]
        for kind, member in MEMBERS.items():
            await_owners(self.log, kind, [member])
        return workers

    def load(self, place: Path) -> dict[Any, Loaded]:
        done: dict[Any, Loaded] = {}
        importer = Importer(self.log, open_store(str(place)), SystemClock(), Told(), threading.Event())
        importer.run(DATA, ENCODING, None, None, done)
        return done

    def answers(self, viewers: list[str], now_ms: int) -> list[Answer]:
        """What a replica that reads this installation's tables answers at a moment: rooms, scores, reasons."""
        metrics, clock = MemoryMetrics(), ManualClock(now_ms)
        tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=1_000)), metrics, clock, max_rooms=1_000)
        reader, stop = TableReader(self.log, tables, metrics), threading.Event()
        thread = threading.Thread(target=reader.run, args=(stop,), daemon=True)
        thread.start()
        try:
            await_true(lambda: reader.ready, "the tables are read")
            recommender = Recommender(tables, RecommendConfig(), metrics, clock)
            answers = [recommender.recommend(Query(viewer=viewer, limit=10, explain=True)) for viewer in viewers]
        finally:
            stop.set()
            thread.join(10)
        return answers


def shown(answer: Answer) -> list[Any]:
    """What of an answer a viewer sees."""
    return [(item.room, item.audience, item.chat_per_minute, item.reason) for item in answer.rooms]


def test_an_installation_moves_with_its_rooms_and_viewers_and_answers_the_same(
    kafka_config: KafkaConfig, topic_prefix: str, tmp_path: Path
) -> None:
    old = Installation(kafka_config, topic_prefix + "old.", 3)
    new = Installation(kafka_config, topic_prefix + "new.", 2)
    place = tmp_path / "export"
    workers = old.start()
    sink = old.log.sink()
    try:
        Platform(sink, 6, seed=5).play(6.0)
        await_true(lambda: len(published_profiles(old.log)) > 5, "profiles are there")
        await_true(lambda: any(one["chat_vector"] for one in published_states(old.log).values()), "vectors are there")
        for worker in workers:
            worker.stop()
        exporter = Exporter(old.log, open_store(str(place)), SystemClock(), Told(), threading.Event())
        manifest = exporter.run(DATA, ENCODING, None)  # as of an installation that stands still, to compare with
        ErasureWriter(new.log, SystemClock()).erase(ViewerId(ERASED))  # nobody has told the old one

        done = new.load(place)
        profiles = published_profiles(old.log)
        assert done["profiles"].written == len(profiles) - 1
        assert done["profiles"].erased == 1
        assert done["rooms"].written == manifest.count("room-states") == len(published_states(old.log))
        assert {one.written for one in new.load(place).values()} == {0}, "a second time nothing is written"
        viewers = [name for name in profiles if name != ERASED]
        now_ms = time.time_ns() // 1_000_000
        there, here = old.answers([*viewers, "stranger"], now_ms), new.answers([*viewers, "stranger"], now_ms)
        for ours, theirs in zip(here, there, strict=True):
            assert (ours.known, ours.live_rooms) == (theirs.known, theirs.live_rooms)
            assert theirs.rooms
            assert shown(ours) == shown(theirs)
            for mine, its in zip(ours.rooms, theirs.rooms, strict=True):
                assert mine.terms == pytest.approx(its.terms, abs=1e-3), mine.room
        assert not new.answers([ERASED], now_ms)[0].known

        workers += new.start()
        with pytest.raises(ExportError, match="-worker-0 runs"):
            new.load(place)
        viewer = viewers[0]
        event = ViewerEvent(viewer=viewer, room="r1", streamer="s1", action="like", at_ms=now_ms)
        target = new.log.sink()
        target.send(VIEWER_EVENTS, viewer.encode(), encode(event))
        target.close()
        before = profiles[viewer].total_events
        await_true(
            lambda: published_profiles(new.log)[viewer].total_events == before + 1, "the profile goes on from there"
        )
    finally:
        sink.close()
        for worker in workers:
            worker.kill()


def test_the_commands_move_an_installation(
    kafka_config: KafkaConfig,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = Installation(kafka_config, topic_prefix + "old.", 2)
    new = Installation(kafka_config, topic_prefix + "new.", 3)
    sink = old.log.sink()
    for number in range(200):
        name = f"v{number}"
        sink.send(VIEWER_PROFILES, name.encode(), encode(profile(name)))
    sink.close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDECAST_KAFKA__BOOTSTRAP_SERVERS", kafka_config.bootstrap_servers)
    clock = SystemClock()
    registry = Registry(open_store(str(tmp_path / "old-models"), "registry"), old.log, clock)
    registry.publish(bundle("one"))

    def typed(line: str, place: str, code: int = 0) -> str:
        monkeypatch.setenv("TIDECAST_TOPICS__PREFIX", topic_prefix + place + ".")
        monkeypatch.setenv("TIDECAST_REGISTRY__URI", str(tmp_path / f"{place}-models"))
        assert cli.main(line.split()) == code
        out, err = capsys.readouterr()
        return out + err

    exported = typed("export backup-monday", "old")
    assert "200 records of viewer-profiles, 0 records of rules, 1 versions" in exported
    assert "has an export already" in typed("export backup-monday", "old", 2)
    said = typed("import backup-monday", "new")
    assert "profiles        200 read: 200 written, 0 kept" in said
    assert "models            1 read: 1 written" in said
    assert published_profiles(new.log) == published_profiles(old.log)
    assert "200 read: 0 written, 200 kept" in typed("import backup-monday", "new")
    with S3Server() as server:
        place = server.uri("monday")
        typed(f"export {place} --only profiles,models", "old")
        assert json.loads(typed(f"import {place} --only profiles --json", "new"))["profiles"]["kept"] == 200
    assert "--only 'chat'" in typed("import backup-monday --only chat", "new", 2)


def profile(name: str) -> ViewerProfile:
    now_ms = time.time_ns() // 1_000_000
    return ViewerProfile(
        viewer=ViewerId(name), visits=(), habits=(), room=None, total_visits=1, total_events=1, first_at_ms=now_ms,
        last_at_ms=now_ms, recent_events=(), appended_ms=now_ms,
    )  # fmt: skip


def test_an_export_in_a_process_that_is_interrupted_leaves_none(
    kafka_config: KafkaConfig, topic_prefix: str, tmp_path: Path
) -> None:
    old = Installation(kafka_config, topic_prefix + "old.", 1)
    sink = old.log.sink()
    for number in range(150_000):
        sink.send(VIEWER_PROFILES, f"v{number}".encode(), encode(profile(f"v{number}")))
    sink.close()
    environ = {
        **os.environ,
        "TIDECAST_KAFKA__BOOTSTRAP_SERVERS": kafka_config.bootstrap_servers,
        "TIDECAST_TOPICS__PREFIX": old.prefix,
    }
    command = [sys.executable, "-m", "deploy.cli", "export", str(tmp_path / "export"), "--only", "profiles"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    await_true(lambda: (tmp_path / "export" / VIEWER_PROFILES).exists() or process.poll() is not None, "it writes")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command begins anew" in said
    assert not (tmp_path / "export" / MANIFEST).exists()
