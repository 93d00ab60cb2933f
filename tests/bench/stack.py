"""The whole system for a bench: its own Kafka and Ray on free ports, in a folder that goes with it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.config.settings import Settings
from deploy.local.system import System
from streaming.machine.ports import free_port
from tests.bench.stopping import leave_on_sigterm


@contextlib.contextmanager
def stack(settings: Settings) -> Iterator[System]:
    """The settings' system, started and afterwards stopped; the log is empty at first. Tells its steps on stderr."""
    leave_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder:
        kafka = dataclasses.replace(settings.local_kafka, folder=f"{folder}/kafka", port=0, controller_port=0)
        http = dataclasses.replace(settings.http, port=free_port())
        own = dataclasses.replace(settings, local_kafka=kafka, http=http)
        with System(own, Path(folder), say) as system:
            yield system


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)
