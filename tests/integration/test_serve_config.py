"""Serve deploys the configuration that a RayService holds, on a real Ray and Kafka, as KubeRay has it do."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.config.http_settings import HttpConfig
from deploy.config.ray_settings import RayConfig
from deploy.config.scaling_settings import ScalingConfig
from deploy.config.settings import Settings
from deploy.http.client import Client, NotUp
from deploy.k8s.installation import CONFIG_FOLDER, METRICS_FOLDER, Installation
from deploy.k8s.serve_config import as_text, serve_config
from deploy.ray.local_ray import LocalRay
from streaming.broker import KafkaAdmin
from streaming.kafka_config import KafkaConfig
from streaming.log.topic_check import check_topics
from streaming.log.topics import TopicsConfig
from streaming.machine.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


def test_the_application_of_a_pods_settings_comes_up_and_answers(
    kafka_config: KafkaConfig, topic_prefix: str, tmp_path: Path
) -> None:
    """Settings from a mounted file, workers with the policy of backlogs, and no argument but places."""
    settings = Settings(
        kafka=kafka_config,
        topics=TopicsConfig(prefix=topic_prefix),
        http=HttpConfig(port=free_port(), admin_port=free_port(), replicas=1, direct_answers=False),
        ray=RayConfig(address="auto"),
        scaling=ScalingConfig(room_workers=3, profile_workers=2, recommenders=2),
    )
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, settings.topics)
    here = Installation(settings)
    (tmp_path / "tidecast.toml").write_text(here.toml)
    ray = LocalRay(dataclasses.replace(settings.ray, address=""), limits=settings.http.limits)
    config = as_text(serve_config(here)).replace(CONFIG_FOLDER, str(tmp_path))
    config = config.replace(METRICS_FOLDER, str(ray.metrics_folder))
    try:
        ray.start()
        done = subprocess.run(
            [sys.executable, "-m", "tests.served_config", ray.address, str(settings.http.port)],
            cwd=ROOT,
            env={**os.environ, **ray.environment()},
            input=config,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4_000:]
        replicas = json.loads(done.stdout.splitlines()[-1])
        assert {name: sum(states.values()) for name, states in replicas.items()} == {
            "Recommender": 1,
            "RoomWorker": 1,
            "ProfileWorker": 1,
            "Encoder": 1,
        }
        client = Client(settings.http.url, admin_url=settings.http.admin_url)
        until = time.monotonic() + PATIENCE_S
        while not _ready(client):
            assert time.monotonic() < until, "no answer"
            time.sleep(0.2)
        assert "\ntidecast_replica_direct 0.0\n" in client.metrics()
        assert client.recommend("anybody").rooms == []
        assert {post.name for post in client.status().processes} >= {"recommender", "room-worker", "profile-worker"}
        client.close()
    finally:
        ray.kill()


def _ready(client: Client) -> bool:
    try:
        return client.readiness().ready
    except NotUp:
        return False
