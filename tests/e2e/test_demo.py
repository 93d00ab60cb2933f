"""Tests that the demo keeps its promises and leaves nothing running. Starts a real Kafka and Ray of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streaming.machine.ports import free_ports
from tests.documented import blocks

ROOT = Path(__file__).resolve().parents[2]


def of_ours(mark: str) -> dict[int, str]:
    """Living processes that carry the mark in their environment: pid → command."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("TIDECAST_DEMO_TEST") == mark:
                found[process.pid] = " ".join(process.cmdline())
        except psutil.Error:
            continue
    return found


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The settings of a demo in a folder of its own, on ports of its own."""
    kafka, controller, http, admin = map(str, free_ports(4))
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TIDECAST_DEMO_TEST": str(tmp_path),
        "TIDECAST_LOCAL_KAFKA__PORT": kafka,
        "TIDECAST_LOCAL_KAFKA__CONTROLLER_PORT": controller,
        "TIDECAST_HTTP__PORT": http,
        "TIDECAST_HTTP__ADMIN_PORT": admin,
    }


def tidecast(command: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *command.split()],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def await_true(what: str, holds: Callable[[], bool], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.1)


def test_demo_without_a_terminal_keeps_every_promise_and_leaves_nothing_running(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    done = tidecast("demo --seconds 15 --json", tmp_path, environ)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["broken"] == []
    assert re.match(r"console   http://127\.0\.0\.1:\d+ ", done.stderr), "its address comes first"
    assert told["answers"] > 20
    assert of_ours(str(tmp_path)) == {}
    (shown,) = (block.text for block in blocks() if block.text.startswith("$ make demo ARGS="))
    assert steps(done.stderr) == steps(shown), "README shows other steps than there are"


def steps(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.endswith(" ...") and not line.startswith("slow machine")]


@contextlib.contextmanager
def demo(folder: Path, environ: dict[str, str], shows: str = "rooms live") -> Iterator[subprocess.Popen[bytes]]:
    """One that goes on until it is stopped, once it says what is waited for; what it says is in the file `said`."""
    said = folder / "said"
    with said.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "demo", "--seconds", "600"],
            cwd=folder,
            env=environ,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        await_true(f"a demo that says {shows}", lambda: running.poll() is not None or shows in said.read_text(), 240)
        assert running.poll() is None, said.read_text()
        yield running
    finally:
        running.kill()
        running.wait()


def test_a_second_demo_leaves_the_first_alone_and_down_ends_it(tmp_path: Path, environ: dict[str, str]) -> None:
    with demo(tmp_path, environ) as running:
        kafka = [pid for pid, command in of_ours(str(tmp_path)).items() if "kafka.Kafka" in command]
        assert len(kafka) == 1
        for command in ("demo --seconds 1", "up"):
            second = tidecast(command, tmp_path, environ)
            assert second.returncode == 2
            assert "the system runs already at" in second.stderr
        assert set(kafka) <= of_ours(str(tmp_path)).keys()
        assert json.loads(tidecast("rooms --json", tmp_path, environ).stdout)
        assert tidecast("down", tmp_path, environ).returncode == 0
        assert running.wait(30) == 2
        assert "somebody has stopped the system" in (tmp_path / "said").read_text()
    await_true("everything has ended", lambda: not of_ours(str(tmp_path)), 30)


def test_a_killed_demo_leaves_nothing_running(tmp_path: Path, environ: dict[str, str]) -> None:
    with demo(tmp_path, environ, shows="deploying the application"):
        await_true("its replicas start", lambda: "ray::ServeReplica" in str(of_ours(str(tmp_path))), 60)
    await_true("everything has ended", lambda: not of_ours(str(tmp_path)), 30)
