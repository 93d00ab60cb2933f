"""Runs one worker in a process of its own, for tests to kill: `-m tests.worker_process KIND HOST PREFIX [URI]`."""

from __future__ import annotations

import signal
import sys
import threading

from actors.profiles.worker import ProfileWorker
from actors.rooms.worker import RoomWorker
from actors.settings import ProfileWorkerConfig, RoomWorkerConfig
from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.metrics import MemoryMetrics
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.fake_encoder import InstantEncoder


def main() -> None:
    """Runs until SIGTERM."""
    kind, servers, prefix, *rest = sys.argv[1:]
    log = KafkaLog(KafkaConfig(bootstrap_servers=servers, session_timeout_s=2.0), prefix)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    metrics, clock = MemoryMetrics(), SystemClock()
    worker: RoomWorker | ProfileWorker | Archiver
    if kind == "room":
        worker = RoomWorker(
            log,
            "0",
            config=RoomWorkerConfig(),
            window=WindowConfig(),
            encoder=InstantEncoder(),
            metrics=metrics,
            clock=clock,
        )
    elif kind == "archive":
        worker = Archiver(log, ArchiveConfig(uri=rest[0], flush_s=0.2, flush_rows=100), metrics, clock)
    else:
        worker = ProfileWorker(
            log, "0", config=ProfileWorkerConfig(), profile=ProfileConfig(), metrics=metrics, clock=clock
        )
    worker.run(stop)


if __name__ == "__main__":
    main()
