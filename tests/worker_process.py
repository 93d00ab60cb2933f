"""Runs one worker in a process of its own, for tests to kill, freeze and rename. See `--help`.

A line on its standard input is the worker's new name in its group.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from actors.profiles.worker import ProfileWorker
from actors.rooms.worker import RoomWorker
from actors.settings import ProfileWorkerConfig, RoomWorkerConfig
from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.log.log import Partition
from streaming.metrics import MemoryMetrics
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.fake_encoder import InstantEncoder

Worker = RoomWorker | ProfileWorker


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(prog="tests.worker_process")
    parser.add_argument("kind", choices=["room", "profile", "archive"])
    parser.add_argument("servers")
    parser.add_argument("prefix")
    parser.add_argument("uri", nargs="?", default="")
    parser.add_argument("--member", default="0")
    parser.add_argument("--transaction-timeout-s", type=float, default=15.0)
    parser.add_argument("--freeze", choices=["before", "after"], help="stops itself around what it sends, once")
    parser.add_argument("--freeze-file", type=Path, help="... when this file exists; it is removed then")
    parser.add_argument("--folder", type=Path, help="where a ProfileWorker's files lie that has 1 MB of memory")
    options = parser.parse_args()
    config = KafkaConfig(
        bootstrap_servers=options.servers, session_timeout_s=2.0, transaction_timeout_s=options.transaction_timeout_s
    )
    log = KafkaLog(config, options.prefix)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    metrics, clock = MemoryMetrics(), SystemClock()
    if options.kind == "archive":
        Archiver(log, ArchiveConfig(uri=options.uri, flush_s=0.2, flush_rows=100), metrics, clock).run(stop)
        return
    worker: Worker
    if options.kind == "room":
        worker = RoomWorker(
            log,
            options.member,
            config=RoomWorkerConfig(),
            window=WindowConfig(),
            encoder=InstantEncoder(),
            metrics=metrics,
            clock=clock,
        )
    else:
        worker = ProfileWorker(
            log,
            options.member,
            config=ProfileWorkerConfig(memory_mb=1, mark_every_s=1) if options.folder else ProfileWorkerConfig(),
            profile=ProfileConfig(),
            metrics=metrics,
            clock=clock,
            folder=options.folder,
        )
    if options.freeze:
        freeze(worker, options.freeze, options.freeze_file)
    threading.Thread(target=listen, args=(worker,), daemon=True).start()
    worker.run(stop)


def listen(worker: Worker) -> None:
    """Gives the worker the names that come on standard input."""
    for line in sys.stdin:
        worker.rename(line.strip())


def freeze(worker: Worker, when: str, file: Path) -> None:
    """Has the process stop itself in the middle of publishing, as a machine that is suspended does.

    It does so around a transaction that moves no position, as most of a RoomWorker's are.
    """
    publish = worker.publish

    def frozen(*, final: bool) -> Mapping[Partition, int] | None:
        moves_none = isinstance(worker, RoomWorker) and bool(worker._urgent) and not worker._positions
        if when == "before" and moves_none and file.exists():
            stand_still(file)
        positions = publish(final=final)
        if positions is not None and not positions and when == "after" and file.exists():
            worker._sink.flush()  # its records are in an open transaction
            stand_still(file)
        return positions

    worker.publish = frozen  # type: ignore[method-assign]


def stand_still(file: Path) -> None:
    file.unlink()
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
