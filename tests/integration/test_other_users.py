"""Another user of the machine gets nothing from a Ray of ours: no job, no connection, no look at its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.config.ray_settings import RayConfig
from deploy.ray.local_ray import LocalRay
from streaming.patience import Patience

NOBODY = 65_534
JOBS = ("/api/job_agent/jobs/", "/api/jobs/", "/api/v0/logs", "/get_runtime_envs_info")
PORTS = ("dashboard_agent_listen_port", "metrics_agent_port", "metrics_export_port")  # files, where an agent's stand
CONNECTS = "import ray, sys; ray.init(sys.argv[1], logging_level='ERROR', log_to_driver=False); print('connected')"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def ray() -> Iterator[LocalRay]:
    ray = LocalRay(RayConfig())
    try:
        ray.start()
        yield ray
    finally:
        ray.kill()


@pytest.fixture(scope="module")
def environments_port(ray: LocalRay) -> int:
    """Where the agent listens that prepares workers' environments; Ray does not wait for it."""
    patience = Patience(60.0)
    while not (found := list((ray.folder / "ray" / "session_latest").glob("runtime_env_agent_port_*"))):
        assert not patience.is_over()
        time.sleep(0.1)
    return int(found[0].read_text())


def listening(ray: LocalRay) -> list[int]:
    """Every TCP port on which a process of this Ray listens."""
    pids = set(ray.pids())
    found = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in pids]
    return sorted({int(c.laddr[1]) for c in found})


def submit(port: int, path: str, token: str = "") -> int:
    """The status of the answer to a request that a command be run; 0 where the port does not speak HTTP."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", b'{"entrypoint": "true"}', headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as err:
        with err:
            return err.code
    except Exception:  # whatever else comes back is no answer to HTTP
        return 0


def as_nobody(does: Callable[[], Any]) -> Any:
    """What the function returns in a process of another user.

    A fork: the other user may not be able to read the interpreter that the tests run in.
    """
    reads, writes = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads: the child uses sockets and files only
        child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(writes, json.dumps(does()).encode())
        finally:
            os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with os.fdopen(reads) as answer:
        return json.loads(answer.read())


def readable(path: Path) -> str:
    try:
        path.read_bytes() if path.is_file() else list(path.iterdir())
    except OSError as err:
        return type(err).__name__
    return "read"


@pytest.mark.parametrize("token", ["", "guessed", "right"])
def test_no_port_runs_a_job_whoever_asks(ray: LocalRay, environments_port: int, token: str) -> None:
    """Ray's agent that takes command lines is not started; the one that is left asks for the token."""
    ports = listening(ray)
    assert environments_port in ports
    given = (ray.folder / "token").read_text() if token == "right" else token
    answers = {(port, path): submit(port, path, given) for port in ports for path in JOBS}
    assert not [where for where, status in answers.items() if 200 <= status < 300]
    if token != "right":
        assert {answers[environments_port, path] for path in JOBS} == {403 if token else 401}


@as_root
def test_another_user_reads_no_token(ray: LocalRay) -> None:
    token, logs = ray.folder / "token", ray.folder / "ray" / "session_latest" / "logs"
    assert as_nobody(lambda: [readable(token), readable(logs), readable(ray.folder)]) == ["PermissionError"] * 3


def test_the_token_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        environment = LocalRay(RayConfig(), tmp_path).environment()
    finally:
        os.umask(before)
    token = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) >= 32


@pytest.mark.parametrize("lacks", ["the mode", "the token"])
def test_nobody_connects_to_it_without_the_token(ray: LocalRay, tmp_path: Path, lacks: str) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("guessed")
    mode = {"RAY_AUTH_MODE": "disabled"} if lacks == "the mode" else {"RAY_AUTH_TOKEN_PATH": str(wrong)}
    command = [sys.executable, "-c", CONNECTS, ray.address]

    def connects(**changed: str) -> bool:
        environment = {**os.environ, **ray.environment(), "RAY_gcs_rpc_server_connect_timeout_s": "2", **changed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return "connected" in done.stdout

    assert connects()
    assert not connects(**mode)


def test_no_server_for_rays_clients_no_dashboard_and_no_agent_of_it_are_started(ray: LocalRay) -> None:
    commands = [" ".join(psutil.Process(pid).cmdline()) for pid in ray.pids()]
    assert any("gcs_server" in command for command in commands)
    unwanted = ("ray.util.client", "dashboard/dashboard.py", "dashboard/agent.py", "DashboardAgent")
    assert not [command for command in commands if any(word in command for word in unwanted)]
    session = ray.folder / "ray" / "session_latest"
    written = {name: [file.read_text() for file in session.glob(f"{name}_*")] for name in PORTS}
    assert written == {name: ["-1"] for name in PORTS}  # Ray's word for none


def test_what_stands_for_the_agent_ends_with_the_raylet() -> None:
    ray = LocalRay(RayConfig())
    try:
        ray.start()
        (raylet,) = [pid for pid in ray.pids() if psutil.Process(pid).name() == "raylet"]
        (stand_in,) = [child for child in psutil.Process(raylet).children() if child.name() == "cat"]
        psutil.Process(raylet).kill()
        psutil.wait_procs([stand_in], timeout=30)
        assert not stand_in.is_running()
    finally:
        ray.kill()
