"""Owns the test that the demo keeps its promises and leaves nothing running. Starts a real Kafka and Ray of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from streaming.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]


def of_ours(mark: str) -> list[str]:
    """Living processes that carry the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("TIDECAST_DEMO_TEST") == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_demo_without_a_terminal_keeps_every_promise_and_leaves_nothing_running(tmp_path: Path) -> None:
    kafka, controller, http = map(str, free_ports(3))
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TIDECAST_DEMO_TEST": str(tmp_path),
        "TIDECAST_LOCAL_KAFKA__PORT": kafka,
        "TIDECAST_LOCAL_KAFKA__CONTROLLER_PORT": controller,
        "TIDECAST_HTTP__PORT": http,
    }
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "demo", "--seconds", "15", "--json"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["broken"] == []
    assert told["answers"] > 20
    assert of_ours(str(tmp_path)) == []
