"""Tests on a real Kafka: an answer over HTTP, an event that names it over HTTP, and `tidecast report` counts it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.intake.intake import Intake
from actors.recommend.impressions import Impressions, ImpressionWriter
from actors.recommend.recommender import Recommender
from actors.settings import IntakeConfig, RecommendConfig
from deploy.http.api import Api
from deploy.http.routes.intake import intake_routes
from deploy.http.routes.public import routes
from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.log.topic_check import check_topics
from streaming.log.topics import TopicsConfig
from streaming.metrics import MemoryMetrics
from tests.answers_behind import answers_behind
from tests.eventually import eventually
from tests.served_api import served
from tests.unit.actors.replica import Replica
from tests.unit.deploy.http.called_api import READY, FakeTexts
from training.experiments import Experiment, Variant

PATIENCE_S = 60.0
ORDER = Experiment(name="order", variants=(Variant(name="live"), Variant(name="hand", version="v0")))


@pytest.fixture
def port(kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str) -> Iterator[int]:
    """The port of a replica with three rooms, whose impressions and events go to Kafka."""
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=2, viewer_partitions=2))
    replica, metrics, clock = Replica(), MemoryMetrics(), SystemClock()
    for room in "abc":
        replica.room(room)
    impressions = Impressions(1.0, 1_000)
    recommender = Recommender(replica.tables, RecommendConfig(), metrics, clock, impressions, experiments=[ORDER])
    writer = ImpressionWriter(kafka_log, impressions, metrics)
    writer.start()
    intake = Intake(kafka_log, IntakeConfig(), clock, metrics)
    taking = intake_routes(intake, IntakeConfig(), "127.0.0.1")
    behind = answers_behind(recommender, clock, FakeTexts(), writing=taking)
    with served(Api(routes(behind, lambda: READY), 2_000_000, metrics)) as port:
        yield port
    assert intake.stop(PATIENCE_S)
    assert writer.stop(PATIENCE_S)


def post(port: int, path: str, body: Any, **headers: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", f"/v1/{path}", json.dumps(body).encode(), named)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return json.loads(response.read())


def report(kafka: str, prefix: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "tidecast.toml").write_text(
        '[[experiments.running]]\nname = "order"\nvariants = [{name = "live"}, {name = "hand", version = "v0"}]\n'
    )
    environment = {**os.environ, "TIDECAST_KAFKA__BOOTSTRAP_SERVERS": kafka, "TIDECAST_TOPICS__PREFIX": prefix}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", "--config", str(folder / "tidecast.toml"), "report", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_answer_and_the_event_that_names_it_are_one_enter_of_the_report(
    port: int, kafka: str, kafka_log: KafkaLog, topic_prefix: str, tmp_path: Path
) -> None:
    def event(viewer: str, room: str, action: str, **fields: object) -> dict[str, object]:
        at_ms = time.time_ns() // 1_000_000
        about = {"viewer": viewer, "room": room, "streamer": f"streamer of {room}", "action": action}
        return {"type": "viewer", **about, "at_ms": at_ms, **fields}

    answer = post(port, "recommend", {"viewer": "w-1"}, X_Request_Id="page-81")
    assert answer["request_id"] == "page-81"
    second = answer["rooms"][1]["room"]
    other = post(port, "recommend", {"viewer": "w-2"})
    first = other["rooms"][0]["room"]
    sent = [
        event("w-1", second, "enter", request_id="page-81", position=2),
        event("w-1", second, "follow", request_id="page-81", position=2),
        event("w-2", first, "enter"),
        event("w-3", first, "enter", request_id="nobody's"),
    ]
    assert post(port, "viewer-events", sent)["accepted"] == len(sent)

    def read(*arguments: str) -> Any:
        done = report(kafka, topic_prefix, tmp_path, "--json", *arguments)
        return json.loads(done.stdout)

    eventually(lambda: read("--log")["answers"] == 2, "both impressions are on the log")
    archive = tmp_path / "archive"
    config = ArchiveConfig(uri=str(archive))
    Archiver(kafka_log, config, MemoryMetrics(), SystemClock()).run_once(threading.Event(), until_end=True)
    of_log, of_archive = read("--log"), read("--archive", str(archive))
    assert of_log == of_archive
    assert of_log["visits"]["by_request_id"] == 1
    assert of_log["visits"]["by_viewer_and_room"] == 1
    assert of_log["visits"]["unknown_request_id"] == 1
    assert of_log["visits"]["other_position"] == 0
    assert (of_log["all"]["impressions"], of_log["all"]["enters"], of_log["all"]["follows"]) == (6, 2, 1)
    by_position = {row["name"]: (row["enters"], row["follows"]) for row in of_log["position"]}
    assert by_position == {"1": (1, 0), "2": (1, 1), "3": (0, 0)}
    (experiment,) = of_log["experiments"]
    expected = {viewer: ORDER.variant_of(viewer).name for viewer in ("w-1", "w-2")}  # type: ignore[union-attr]
    found = {row["name"]: row["viewers"] for row in experiment["variants"]}
    assert found == {name: [*expected.values()].count(name) for name in ("live", "hand")}
    assert experiment["moved_viewers"] == 0
    printed = report(kafka, topic_prefix, tmp_path, "--log", "--by", "position")
    assert printed.returncode == 0
    assert "visits: 1 by request_id, 1 by viewer and room; 1 of a request_id that was not noted" in printed.stdout


def test_a_report_of_nothing_says_so_and_where_it_looked(
    kafka_config: KafkaConfig, kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=1, viewer_partitions=1))
    done = report(kafka, topic_prefix, tmp_path, "--log")
    assert done.returncode == 1
    assert "the topics impressions and viewer-events: no impression" in done.stderr
    wrong = report(kafka, topic_prefix, tmp_path, "--from", "2026-12-02", "--until", "2026-12-01")
    assert (wrong.returncode, "--from is not before --until" in wrong.stderr) == (2, True)
    missing = report(kafka, topic_prefix, tmp_path, "--by", "weather")
    assert missing.returncode == 2
    assert "version" in missing.stderr
