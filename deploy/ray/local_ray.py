"""The Ray that runs on this machine for us: its environment, its processes, its end. Never deploys anything.

`ray stop` ends every Ray of the user on the machine. Here only processes with our mark are ended: everything that Ray
starts inherits the mark in its environment.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deploy.config.proxy_limits import ProxyLimits
from deploy.config.ray_settings import RayConfig
from deploy.ray.haproxy_home import ClusterError, haproxy_environment
from deploy.ray.token import token_environment
from streaming.machine.ports import RAY_PORTS, free_ports
from streaming.machine.private_folder import PRIVATE, make_private
from streaming.machine.process_words import environment_of
from streaming.patience import Patience, growth

MARK = "TIDECAST_RAY_SESSION"
START_ATTEMPTS = 3  # Ray gives up by itself after 30 s, which a busy machine needs for its imports alone
HOST = "127.0.0.1"
SLOW = 1.5  # then a process gets less than two thirds of a core
NO_LIMITS_GIVEN = ProxyLimits()  # a Ray without the application has no proxy
REPLICA_PORTS = 500  # most replicas of the application; each listens on a port of its own


class _Ports(NamedTuple):
    """The ports of Ray and HAProxy, except the application's own."""

    gcs: int
    runtime_env: int
    stats: int
    metrics: int
    fallback: int
    replicas: int  # the first of REPLICA_PORTS


class LocalRay:
    """A Ray head on loopback in a folder of its own; any number of them run side by side. For one thread."""

    def __init__(self, config: RayConfig, folder: Path | None = None, limits: ProxyLimits = NO_LIMITS_GIVEN) -> None:
        """folder: where it runs or will run, None for a new one. limits: of the HTTP proxy, where one is started."""
        self._config = config
        self._limits = limits
        # under /tmp whatever TMPDIR is: Ray's socket paths add 76 characters to it, and a socket's path may have 107
        self.folder = folder or Path(tempfile.mkdtemp(prefix="tidecast-", dir="/tmp"))
        self._port_file = self.folder / "gcs.port"  # exists once the head was started
        self._ports_file = self.folder / "ports"
        self._head: subprocess.Popen[bytes] | None = None

    @functools.cached_property
    def _slowness(self) -> float:
        """The factor on Ray's time limits, the same for all processes of this Ray."""
        return growth()

    @property
    def address(self) -> str:
        """The GCS as host:port. Raises ClusterError where it was never started."""
        try:
            return f"{HOST}:{int(self._port_file.read_text())}"
        except (OSError, ValueError) as err:
            raise ClusterError(f"no Ray was started in {self.folder}") from err

    @property
    def metrics_folder(self) -> Path:
        """The folder where the processes of this node exchange their metrics."""
        return self.folder / "metrics"

    def start(self) -> None:
        """Starts the head and waits until it accepts connections. Raises ClusterError."""
        self.launch()
        self.await_started()

    def launch(self) -> None:
        """Starts the head without waiting for it."""
        make_private(self.folder)
        make_private(self.metrics_folder)
        ports = self._ports()
        self._port_file.write_text(str(ports.gcs))
        command = [
            *(sys.executable, "-m", "deploy.ray.head", "start", "--head", "--block", "--disable-usage-stats"),
            *(f"--port={ports.gcs}", "--include-dashboard=false"),
            f"--runtime-env-agent-port={ports.runtime_env}",
            *(f"--num-cpus={max(4, os.cpu_count() or 4)}", f"--temp-dir={self.folder / 'ray'}"),
            f"--object-store-memory={self._config.object_store_mb << 20}",
            *("--include-log-monitor=false", "--no-monitor"),  # the latter is the autoscaler
        ]
        with (self.folder / "ray.log").open("ab") as log:
            self._head = subprocess.Popen(
                command,
                env={**os.environ, **self.environment(), MARK: str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal reaches us, and we stop it in order
            )

    def await_started(self) -> None:
        """Waits until the head that `launch` started accepts connections. Raises ClusterError."""
        patience, attempts = Patience(self._config.start_timeout_s), 1
        # written when the raylet has joined; before that the GCS listens already, but to connect to it fails
        while not (self.folder / "ray" / "ray_current_cluster").exists():
            ended = self._head is None or self._head.poll() is not None
            if ended and attempts < START_ATTEMPTS and growth() > SLOW:
                attempts += 1
                self._end_processes()
                self.launch()
            elif ended or patience.is_over():
                said = self._log_end()  # before its folder goes
                self.kill()
                raise ClusterError(f"Ray did not start in {patience.spent()}; the end of its log: {said}")
            time.sleep(0.1)

    def environment(self) -> Mapping[str, str]:
        """The environment that Ray's processes and their clients need before Ray is imported."""
        interpreter = str(Path(__file__).with_name("interpreter"))
        places = [interpreter, *filter(None, [os.environ.get("PYTHONPATH", "")])]
        limits = patient_environment(self._slowness)
        token = token_environment(self.folder / "token")
        ours = {**ray_environment(), **limits, **self._haproxy_environment(), **token}
        return {**ours, "PYTHONPATH": os.pathsep.join(places)}

    def pids(self) -> list[int]:
        """Every living process of this Ray, orphans too."""
        mark = os.fsencode(f"{MARK}={self.folder}")
        living = list(_living())
        # Ray's agents write their names over their environment, and so over the mark: these are found by the session
        # that the head leads
        sessions = {process.session for process in living if mark in process.environment.split(b"\0")} - {os.getsid(0)}
        return [process.pid for process in living if process.session in sessions]

    def kill(self) -> None:
        """Kills every process of this Ray and removes its folder. Nothing on the log depends on a gentle end."""
        self._end_processes()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_processes(self) -> None:
        deadline = time.monotonic() + 5.0
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        if pids:
            raise ClusterError(f"processes {pids} of the Ray in {self.folder} do not end")
        if self._head is not None:
            self._head.wait(5.0)  # our own child stays a zombie until it is asked after

    def proxy_alerts(self) -> str:
        """The error of the HAProxy started last, in its own words; "" where it started."""
        try:
            written = max(self.folder.glob("h/**/*.stderr.log"), key=lambda log: log.stat().st_mtime, default=None)
            lines = written.read_text(errors="replace").splitlines() if written is not None else []
        except OSError:  # Serve removes the oldest ones meanwhile
            return ""
        return "; ".join(
            line.partition("] for ")[2] for line in lines if line.startswith("[ALERT]") and "] for " in line
        )

    def save_logs(self, folder: Path) -> bool:
        """Replaces `folder` by the logs of this Ray's processes. False where there are none."""
        logs = self.folder / "ray" / "session_latest" / "logs"
        shutil.rmtree(folder, ignore_errors=True)
        if not logs.is_dir():
            return False
        make_private(folder.parent)
        # a worker that ends during the copy takes files of its own with it, and a socket cannot be copied
        with contextlib.suppress(shutil.Error, OSError):
            shutil.copytree(logs, folder, symlinks=True)
        with contextlib.suppress(OSError):  # nothing could be copied
            folder.chmod(PRIVATE)  # a copy is as readable as the original
        with contextlib.suppress(OSError):
            for written in self.folder.glob("h/**/*.log"):  # HAProxy's logs
                shutil.copy(written, folder / f"haproxy.{written.name}")
        return folder.is_dir()

    def _haproxy_environment(self) -> Mapping[str, str]:
        """HAProxy's environment.

        By default Ray has fixed ports, a folder in /tmp that all clusters share, and listens on all interfaces.
        """
        ports = self._ports()
        return {
            **haproxy_environment(self.folder / "h", self._limits),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.stats),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.metrics),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas + REPLICA_PORTS),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback),  # it answers while there is no replica
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # its one effect on Linux: the node's address is the loopback
        }

    def _ports(self) -> _Ports:
        """The ports. They are drawn once and all together: none is bound yet, so two draws could give the same."""
        if self._ports_file.exists():
            return _Ports(*map(int, self._ports_file.read_text().split()))
        while True:
            ports = _Ports(*free_ports(len(_Ports._fields), between=RAY_PORTS))
            if not any(0 < port - ports.replicas <= REPLICA_PORTS for port in ports):
                self._ports_file.write_text(" ".join(map(str, ports)))
                return ports

    def _log_end(self) -> str:
        log = self.folder / "ray.log"
        return log.read_text(errors="replace")[-800:].strip() if log.exists() else "(no log)"


def serve_environment() -> Mapping[str, str]:
    """The settings that matter on any Ray, to be set before `ray start` on every host. Reasons: docs/serving.md."""
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "1",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "5",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",  # by default an hour, for a caller who does not read the answer
        # what a killed replica, or one on a vanished host, had in hand is asked of another: every request only reads
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout",
        "RAY_SERVE_HAPROXY_RETRIES": "3",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # an idle system is mostly busy with Ray's checks for work (tests.bench.idle):
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.6",  # by default 0.1, which takes an eighth of a core all the time
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "10000",  # by default 100, in each replica; nothing of ours reads them
        "RAY_SERVE_EVENT_LOOP_MONITORING_INTERVAL_S": "60",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",  # idle workers with another environment than ours would never be used
        "RAY_worker_niceness": "0",  # by default 15: beside a busy Kafka on two cores a replica then hardly ever runs
    }


def ray_environment() -> Mapping[str, str]:
    """The same for a Ray of our own, without what only a cluster has: the dashboard, its metrics, the autoscaler."""
    return {
        **serve_environment(),
        "RAY_task_events_report_interval_ms": "0",  # for Ray's dashboard, which does not run here
        "RAY_enable_metrics_collection": "0",  # Ray's own; ours are at /metrics
        "RAY_metrics_report_interval_ms": "60000",
        "RAY_event_stats": "0",
        "RAY_raylet_report_resources_period_milliseconds": "1000",  # by default 100
        "RAY_memory_monitor_refresh_ms": "1000",  # by default 250
        "RAY_gcs_pull_resource_loads_period_milliseconds": "5000",  # for the autoscaler, which does not run here
    }


def patient_environment(times: float) -> Mapping[str, str]:
    """Ray's own time limits on its start, multiplied, so that slow does not count as dead. times: at least 1."""
    limits_s = {
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": 15,  # by default 5; a proxy that is later is killed and begins anew
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": 10,
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": 30,
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": 60,
        "RAY_worker_register_timeout_seconds": 60,
        "RAY_gcs_server_request_timeout_seconds": 60,
    }
    limits_ms = {"RAY_agent_register_timeout_ms": 30_000, "RAY_health_check_timeout_ms": 10_000}
    return {name: str(round(limit * times)) for name, limit in {**limits_s, **limits_ms}.items()}


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    session: int
    environment: bytes


def _living() -> Iterator[_Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # another user's, or gone meanwhile
                environment = environment_of(int(entry.name))
                state, _parent, _group, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if state != "Z":
                    yield _Process(int(entry.name), int(session), environment)
