"""Tests of what a Ray of ours is given and says: its ports, why its proxy did not start, its logs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from deploy.config.ray_settings import RayConfig
from deploy.config.settings import Settings
from deploy.local.system import Running, System
from deploy.ray import local_ray
from deploy.ray.local_ray import MARK, LocalRay
from streaming.errors import TidecastError

PORTS = ("HAPROXY_STATS_PORT", "HAPROXY_METRICS_PORT", "FALLBACK_PROXY_HTTP_PORT")
ALERT = (
    "[NOTICE]   (25) : haproxy version is 2.8.25\n"
    "[ALERT]    (25) : Binding [/tmp/t/haproxy.cfg:73] for proxy stats: cannot bind socket (Address already in use) "
    "for [127.0.0.1:28046]\n"
    "[ALERT]    (25) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.\n"
)


@pytest.fixture
def ray(tmp_path: Path) -> LocalRay:
    return LocalRay(RayConfig(), tmp_path)


def test_no_port_is_given_twice_although_none_is_bound_yet(ray: LocalRay, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([list(range(30_006, 30_000, -1)), [28_000 + 10 * n for n in range(5)] + [29_000]])

    def draws(count: int, between: tuple[int, int]) -> list[int]:
        assert between[0] < between[1]
        ports = next(drawn)
        assert len(ports) == count
        return ports

    monkeypatch.setattr(local_ray, "free_ports", draws)
    environment = ray.environment()
    first = int(environment["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"])
    replicas = range(first, int(environment["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"]) + 1)
    others = [int(environment[f"RAY_SERVE_{name}"]) for name in PORTS]
    assert first == 29_000  # the first draw has others among the replicas'
    assert len({*others, *replicas}) == len(others) + len(replicas)
    assert ray.environment() == environment  # `tidecast down` and the replicas find the same


def test_why_the_proxy_did_not_start_is_said_in_its_words(ray: LocalRay) -> None:
    assert ray.proxy_alerts() == ""
    folder = ray.folder / "h" / "node"
    folder.mkdir(parents=True)
    (folder / "admin.sock.7.1.stderr.log").write_text(ALERT)
    assert ray.proxy_alerts() == "proxy stats: cannot bind socket (Address already in use) for [127.0.0.1:28046]"
    later = folder / "admin.sock.7.2.stderr.log"
    later.write_text("[NOTICE]   (26) : haproxy version is 2.8.25\n")
    os.utime(later, (2e9, 2e9))
    assert ray.proxy_alerts() == ""


def test_logs_are_saved_in_place_of_those_of_the_last_failure(ray: LocalRay, tmp_path: Path) -> None:
    saved = tmp_path / "failed-start"
    saved.mkdir()
    (saved / "old.log").touch()
    assert not ray.save_logs(saved)
    logs = ray.folder / "ray" / "session_latest" / "logs" / "serve"
    logs.mkdir(parents=True)
    (logs / "controller.log").write_text("began")
    (ray.folder / "h").mkdir()
    (ray.folder / "h" / "admin.stderr.log").write_text(ALERT)
    assert ray.save_logs(saved)
    assert (saved / "serve" / "controller.log").read_text() == "began"
    assert (saved / "haproxy.admin.stderr.log").read_text() == ALERT
    assert not (saved / "old.log").exists()
    assert saved.stat().st_mode & 0o777 == 0o700  # what the processes said is for its owner alone


@pytest.fixture
def taken() -> Iterator[int]:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_a_port_that_another_program_has_is_said_before_anything_starts(tmp_path: Path, taken: int) -> None:
    settings = Settings()
    settings = dataclasses.replace(settings, http=dataclasses.replace(settings.http, port=taken))
    system = System(settings, tmp_path / "run")
    with pytest.raises(TidecastError, match=f"http.port {taken} is taken by another program.*TIDECAST_HTTP__PORT"):
        system.start()
    assert not (tmp_path / "run").exists()


def test_a_terminal_that_is_gone_stops_nothing_from_being_stopped(tmp_path: Path) -> None:
    def broken(_: str) -> None:
        raise BrokenPipeError

    with of_another(tmp_path) as running:
        assert System(Settings(), tmp_path, broken).stop()
        assert running.wait(20) < 0
    assert not (tmp_path / "run.json").exists()


@contextlib.contextmanager
def of_another(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a system that somebody has started from the folder."""
    environment = {MARK: str(folder / "ray")}
    running = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
    try:
        note = Running(
            url="",
            bootstrap_servers="",
            ray_address="",
            ray_folder=str(folder / "ray"),
            kafka_started=False,
            started_at_ms=1,
        )
        (folder / "run.json").write_bytes(msgspec.json.encode(note))
        yield running
    finally:
        running.kill()
        running.wait()


def test_a_system_that_may_not_start_does_not_stop_the_one_that_runs(tmp_path: Path) -> None:
    with of_another(tmp_path) as running:
        with pytest.raises(TidecastError, match="runs already"), System(Settings(), tmp_path):
            pass
        assert running.poll() is None
        assert (tmp_path / "run.json").exists()


def test_what_a_killed_starter_has_started_ends_and_nothing_else_does(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time; from pathlib import Path; from deploy.ray.watch import Watch;"
        "watch = Watch(Path(sys.argv[1]));"
        "told, other = [subprocess.Popen(['sleep', '60'], start_new_session=True) for _ in range(2)];"
        "watch.also(told.pid); print(told.pid, other.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "ray")], stdout=subprocess.PIPE)
    with of_another(tmp_path) as of_ray, starter:
        assert starter.stdout is not None
        told, other = map(psutil.Process, map(int, starter.stdout.readline().split()))
        try:
            starter.kill()
            assert of_ray.wait(20) < 0
            told.wait(20)
            assert other.is_running()
        finally:
            other.kill()
