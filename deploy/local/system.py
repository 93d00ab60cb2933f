"""The whole system on this machine: starts Kafka, Ray and the application in order, and stops them. Never serves.

A record of what was started goes to `.tidecast/run.json`, so that another process can stop it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from deploy.config.http_settings import HttpConfig
from deploy.config.settings import Settings
from deploy.http.client import Client, NotUp
from deploy.http.status import Post
from deploy.local.launcher import Launcher
from deploy.local.ray_driver import Order
from deploy.ray.cluster_host import HOST_FOLDER
from deploy.ray.haproxy_home import ClusterError
from deploy.ray.local_ray import LocalRay
from deploy.ray.watch import Watch
from streaming.broker import KafkaAdmin
from streaming.errors import TidecastError
from streaming.local_kafka import LocalKafka
from streaming.log.topic_check import check_topics
from streaming.machine.private_folder import make_private
from streaming.patience import Patience

CONNECT_S = 8.0  # for a process to start and connect to Ray; 3 s on an idle machine

KEPT_LOGS = 5  # logs of stopped systems; some MB each
Progress = Callable[[str], None]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The record of what was started, by which it is found again."""

    url: str
    bootstrap_servers: str
    ray_address: str
    ray_folder: str  # "" on another's cluster
    kafka_started: bool
    started_at_ms: int
    kafka_folder: str = ""  # "": that of the settings


class System:
    """Kafka, Ray and the application. For one thread. A context manager: stopped on exit, whatever happened."""

    def __init__(
        self,
        settings: Settings,
        folder: Path = Path(".tidecast"),
        progress: Progress = lambda _: None,
        *,
        await_encoder: bool = True,
        outlives: bool = True,
    ) -> None:
        """folder: of `run.json`. progress: receives each step in words.

        await_encoder: False: it counts as started once it answers, while the encoder may still load its model.
        outlives: False: nothing runs on after this process, even if that is killed.
        """
        self.settings = settings
        self._file = folder / "run.json"
        self._progress = progress
        self._await_encoder = await_encoder
        self._outlives = outlives
        self._watch: Watch | None = None
        self._kafka = LocalKafka(settings.local_kafka)
        self._ray: LocalRay | None = None
        self._launcher: Launcher | None = None

    @property
    def url(self) -> str:
        """The URL where it answers."""
        return self.settings.http.url

    def client(self) -> Client:
        """A new client, for one thread."""
        return Client(self.url, admin_url=self.settings.http.admin_url, token=self.settings.http.token)

    def __enter__(self) -> System:
        before = self.running()
        try:
            self.start()
        except BaseException:
            if self.running() != before:  # else it is another one, which runs already
                self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def running(self) -> Running | None:
        """The record of a system that was started from this folder and not stopped; None where there is none."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None

    def living(self) -> Running | None:
        """The record of a system from this folder that still has processes; None where there is none."""
        running = self.running()
        return running if running is not None and self._alive(running) else None

    def require_none(self) -> None:
        """Checks that no system from this folder runs. Raises TidecastError."""
        if (running := self.living()) is not None:
            raise TidecastError(f"the system runs already at {running.url}; `tidecast down` stops it")

    def start(self) -> None:
        """Starts the system and waits until it answers from current tables. Raises TidecastError."""
        self.require_none()
        self.settings.http.require_keys()
        running = self.running()
        ours = not self.settings.kafka.bootstrap_servers
        if ours:
            kafka = dataclasses.replace(self.settings.kafka, bootstrap_servers=self._kafka.bootstrap_servers)
            self.settings = dataclasses.replace(self.settings, kafka=kafka)
        if not self.settings.ray.address:
            _require_free(self.settings.http)
        ray = self._ray = (
            None if self.settings.ray.address else LocalRay(self.settings.ray, limits=self.settings.http.limits)
        )
        # a Kafka started by an `up` that was killed is ours too
        starts_kafka = ours and (self._kafka.pid() is None or (running is not None and running.kafka_started))
        self._note(ray, starts_kafka)  # before anything starts: whatever happens then, `down` finds it
        started = [name for name, starts in (("Kafka", ours), ("Ray", ray is not None)) if starts]
        self._report_step("starting " + " and ".join(started or ["nothing: Kafka and Ray are there"]))
        try:
            self._launch(ray, kafka=ours)
        except TidecastError as err:
            logs = self._file.with_name("failed-start")
            if ray is not None and ray.save_logs(logs):  # `stop` removes them with Ray
                raise TidecastError(f"{err}; the processes' logs are in {logs}") from err
            raise

    def _launch(self, ray: LocalRay | None, *, kafka: bool) -> None:
        """Starts everything that can start side by side, and waits for each where the next needs it."""
        if ray is not None and not self._outlives:
            self._watch = Watch(ray.folder)
        launcher = self._launcher = Launcher(ray.environment() if ray is not None else {})
        if kafka and self._kafka.launch() and (pid := self._kafka.pid()) is not None:
            self.also_ends(pid)
        if ray is not None:
            ray.launch()
            ray.await_started()
        launcher.give(self._order("deploy", ray))
        if kafka:
            self._kafka.await_answer()
        self._create_topics()
        self._report_step("deploying the application")
        launcher.finish(self.settings.ray.deploy_timeout_s, self._report_replicas)
        self._launcher = None
        self._await_ready()

    def stop(self) -> bool:
        """Stops the system; workers flush and commit first. False where nothing was started."""
        running = self.running()
        if running is None:
            return False
        if self._launcher is not None:
            self._launcher.kill()
        ray = self._ray
        if ray is None and running.ray_folder:
            ray = LocalRay(self.settings.ray, Path(running.ray_folder))
        if ray is None or ray.pids():
            self._report_step("stopping the application")
            with contextlib.suppress(ClusterError):  # then it is killed; the log has all it needs
                order = self._order("stop", ray)
                launcher = Launcher(ray.environment() if ray is not None else {})
                launcher.give(order)
                launcher.finish(self.settings.ray.stop_timeout_s + (CONNECT_S if ray is None else 0.0))
        if ray is not None:
            self._report_step("stopping Ray")
            self._keep_logs(ray)
            ray.kill()
        if running.kafka_started:
            self._report_step("stopping Kafka")
            self._kafka_in(running.kafka_folder).stop()
        self._file.unlink(missing_ok=True)
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        return True

    def _keep_logs(self, ray: LocalRay) -> None:
        """Keeps the processes' logs, for the last KEPT_LOGS systems: Ray's folder is removed with Ray."""
        folder = self._file.with_name("logs")
        make_private(folder)
        kept = sorted(folder.iterdir()) if folder.is_dir() else []
        for old in kept[: max(0, len(kept) - KEPT_LOGS + 1)]:
            shutil.rmtree(old, ignore_errors=True)
        ray.save_logs(folder / time.strftime("%Y-%m-%dT%H-%M-%S"))

    def also_ends(self, pid: int) -> None:
        """Makes a process that was started just now end with this one, unless `outlives`."""
        if self._watch is not None:
            self._watch.also(pid)

    def pids(self) -> Sequence[int]:
        """Every living process that was started, except the broker."""
        running = self.running()
        if running is None or not running.ray_folder:
            return []
        return LocalRay(self.settings.ray, Path(running.ray_folder)).pids()

    def _kafka_in(self, folder: str) -> LocalKafka:
        """The Kafka in a folder. The demo's is another than that of `up`; `tidecast down` stops either."""
        config = self.settings.local_kafka
        return (
            LocalKafka(dataclasses.replace(config, folder=folder)) if folder not in ("", config.folder) else self._kafka
        )

    def _report_step(self, step: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more: that must not leave half of the system running
            self._progress(step)

    def _report_replicas(self, step: str) -> None:
        if self.settings.ray.address:  # on a Ray of our own it takes seconds
            self._report_step(f"deploying the application: {step}")

    def _alive(self, running: Running) -> bool:
        """Whether it has processes: on another's cluster, which may have died meanwhile, whether it answers."""
        if running.ray_folder:
            return bool(self.pids())
        try:
            with contextlib.closing(Client(running.url)) as client:
                client.readiness()
        except NotUp:
            return False
        return True

    def _create_topics(self) -> None:
        self._report_step("creating topics")
        with KafkaAdmin(self.settings.kafka) as admin:
            reports = check_topics(admin, self.settings.topics)
        for report in reports:
            if any(difference.what == "partitions" for difference in report.differences):
                raise TidecastError(
                    f"topic {report.topic} has {report.partitions} partitions, not as configured; `tidecast topics` "
                    "says what differs. Give the topics another prefix, or set the partitions to what is there"
                )

    def _note(self, ray: LocalRay | None, started_kafka: bool) -> None:
        make_private(self._file.parent)
        running = Running(
            url=self.url,
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            ray_address=self.settings.ray.address,
            ray_folder=str(ray.folder) if ray is not None else "",
            kafka_started=started_kafka,
            started_at_ms=time.time_ns() // 1_000_000,
            kafka_folder=self.settings.local_kafka.folder,
        )
        self._file.write_bytes(msgspec.json.encode(running))

    def _order(self, action: Literal["deploy", "stop"], ray: LocalRay | None) -> Order:
        return Order(
            action=action,
            settings=self.settings,
            address=ray.address if ray is not None else self.settings.ray.address,
            metrics_folder=str(ray.metrics_folder if ray is not None else _metrics_folder()),
            local=ray is not None,
        )

    def _posts(self, client: Client) -> Sequence[Post] | None:
        """The processes' posts; None on another's cluster without a process of ours on this node to ask."""
        try:
            return client.status().processes
        except NotUp:
            if not self.settings.ray.address:
                raise
        return None

    def _await_ready(self) -> None:
        ray, http, topics = self.settings.ray, self.settings.http, self.settings.topics
        expected = Counter(
            {
                "recommender": http.replicas,
                "room-worker": min(ray.room_workers, topics.room_partitions),
                "profile-worker": min(ray.profile_workers, topics.viewer_partitions),
                "encoder": ray.encoders if self._await_encoder else 0,
                "archiver": 1 if self.settings.archive.uri else 0,
            }
        )
        reported = ""
        patience = Patience(ray.ready_timeout_s)
        while True:
            try:
                with contextlib.closing(self.client()) as client:
                    is_ready = client.readiness().ready
                    posts = self._posts(client)
            except NotUp:
                alerts = "" if self._ray is None else self._ray.proxy_alerts()
                missing, waiting = expected, f"an answer at {self.url}" + (alerts and f"; HAProxy says {alerts}")
            else:
                if errors := [str(post.detail["error"]) for post in posts or () if "error" in post.detail]:
                    raise TidecastError(errors[0])
                if posts is None and is_ready:
                    return
                missing = expected - Counter(post.name for post in posts or () if _is_ready(post))
                waiting = ", ".join(f"{count} × {name}" for name, count in missing.items())
            if not missing:
                return
            if patience.is_over():
                raise TidecastError(f"not ready after {patience.spent()}; still waiting for {waiting}")
            if waiting != reported:
                self._report_step(f"waiting for {waiting}")
                reported = waiting
            time.sleep(0.2)


def _metrics_folder() -> str:
    """The folder for metrics on each host of a cluster; Ray fills in what `tidecast cluster-env` has set there."""
    return f"${{{HOST_FOLDER}}}{tempfile.gettempdir()}/tidecast-{os.getuid()}"


def _require_free(http: HttpConfig) -> None:
    for name, host, port in (("port", http.host, http.port), ("admin_port", http.admin_host, http.admin)):
        if not _free(host, port):
            raise TidecastError(
                f"http.{name} {port} is taken by another program; choose one with "
                f"TIDECAST_HTTP__{name.upper()}, or http.{name} in the configuration"
            )


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not count
        try:
            probe.bind((host, port))
        except OSError as err:
            return err.errno != errno.EADDRINUSE
    return True


def _is_ready(post: Post) -> bool:
    """Whether a process is ready: a replica has caught up, a worker has its partitions, or another one has its name."""
    detail = post.detail
    return bool(detail.get("ready", True)) and bool(detail.get("partitions", True) or detail.get("standing_by"))
