"""Serve's HAProxy for tests, without a Ray: the configuration that Serve writes, and the real proxy with it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.config.proxy_limits import ProxyLimits
from deploy.ray import haproxy
from deploy.ray.haproxy_home import haproxy_binary
from deploy.ray.local_ray import serve_environment
from streaming.machine.ports import free_port

PATIENCE_S = 20.0


def served(folder: Path, host: str = "127.0.0.1", *, port: int = 8_000, servers: Sequence[int] = (9,)) -> str:
    """What Serve writes into folder/haproxy.cfg for an application whose replicas have these ports; none, if none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Serve's own, of its import
        import ray.serve  # noqa: F401, PLC0415  its inner modules cannot be imported first
        from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig  # noqa: PLC0415
        from ray.serve.config import HTTPOptions  # noqa: PLC0415

        config = HAProxyConfig(
            http_options=HTTPOptions(host=host, port=port),
            socket_path=str(folder / "admin.sock"),
            server_state_base=str(folder),
            server_state_file=str(folder / "state"),
            has_received_routes=True,
            has_received_servers=True,
            timeout_client_s=30,
            retry_on=serve_environment()["RAY_SERVE_HAPROXY_RETRY_ON"],
            retries=int(serve_environment()["RAY_SERVE_HAPROXY_RETRIES"]),
        )
        replicas = [ServerConfig(f"replica-{server}", "127.0.0.1", server) for server in servers]
        backend = BackendConfig("http-tidecast", "/", app_name="tidecast", servers=replicas)
        api = HAProxyApi(config, {"tidecast": backend} if servers else {}, str(folder / "haproxy.cfg"))
        api._generate_config_file_internal()
    return (folder / "haproxy.cfg").read_text()


@contextlib.contextmanager
def proxy(folder: Path, servers: Sequence[int], limits: ProxyLimits) -> Iterator[int]:
    """The real HAProxy, started as Serve starts it. Yields its port once it answers."""
    port = free_port()
    served(folder, port=port, servers=servers)
    command = [sys.executable, "-S", "-E", haproxy.__file__, json.dumps(limits._asdict()), str(haproxy_binary())]
    process = subprocess.Popen([*command, "-db", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        _await_answer(port, process, 200 if servers else 503)
        yield port
    finally:
        process.kill()
        process.wait()


def _await_answer(port: int, process: subprocess.Popen[bytes], status: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, "HAProxy ended"
        assert time.monotonic() < deadline, "HAProxy does not answer"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
                found = response.status
        except urllib.error.HTTPError as err:
            found = err.code
            err.close()
        except OSError:
            found = 0
        if found == status:
            return
        time.sleep(0.05)
