"""The life of the local Kafka: started, found again by another process, killed, stopped, nothing left."""

from __future__ import annotations

from pathlib import Path

from streaming.broker import KafkaAdmin
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.machine.ports import free_port


def test_it_starts_is_found_again_survives_a_kill_and_stops_leaving_nothing(tmp_path: Path) -> None:
    config = LocalKafkaConfig(
        folder=str(tmp_path / "kafka"), port=free_port("127.0.0.1"), controller_port=free_port("127.0.0.1")
    )
    kafka = LocalKafka(config)
    try:
        assert kafka.start() is True
        other = LocalKafka(config)  # as another process sees it
        assert other.status().pid == kafka.pid()
        assert other.status().answers
        assert other.start() is False

        client = KafkaConfig(bootstrap_servers=config.bootstrap_servers)
        with KafkaAdmin(client) as admin:
            admin.create("kept", partitions=2, replication_factor=1, settings={})
        assert other.kill() is True
        assert kafka.pid() is None
        kafka.start()
        with KafkaAdmin(client) as admin:
            assert admin.partition_counts(["kept"]) == {"kept": 2}
    finally:
        pid = kafka.pid()
        kafka.stop()
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    assert kafka.stop() is False
    assert not kafka.status().answers
    data = list((tmp_path / "kafka" / "data").rglob("*"))
    assert "kept-0" in {path.name for path in data}
    assert [str(path) for path in data if path.stat().st_mode & 0o077] == [], "it holds chat"
