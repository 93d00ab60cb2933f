"""The base of every process of the application: log, metrics, status board, thread. Never does a worker's work."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import serve

from deploy.config.secrets import with_secrets
from deploy.http.admin import AdminPort, admin_routes
from deploy.http.api import Api
from deploy.http.host_posts import FolderStore
from deploy.http.status import Board
from deploy.ray.ray_patches import KvStore, keep_on_loopback
from deploy.serve.leaving import Leaving
from deploy.serve.raylet_watch import once_ended
from deploy.serve.worker_thread import WorkerThread
from deploy.terminal.console import log_as_json, log_to_stderr
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.log.watched_log import TurnCounter, WatchedLog
from streaming.prometheus import MULTIPROCESS_DIR_VARIABLE, PrometheusMetrics
from streaming.record_format.first_look import look_at_types

if TYPE_CHECKING:
    from ray.serve.schema import ReplicaRank

    from deploy.config.settings import Settings


LOGGER = logging.getLogger(__name__)


class Replica:
    """The base of every process of the application. Constructed on the replica's event loop."""

    name = ""
    in_group = False  # whether its worker is in a consumer group, which it leaves when its host goes
    _worker: WorkerThread | None = None  # None before `run`

    def __init__(self, settings: Settings, local: bool) -> None:
        look_at_types()
        context = serve.get_replica_context()
        self.rank: int = context.rank.rank
        if settings.ray.json_logs:
            log_as_json(logging.INFO, lambda: self.member)
        else:
            log_to_stderr(logging.INFO, beside_others=True)  # in a file for each process; `tidecast logs` shows it
        if local:
            keep_on_loopback()
        self.settings = settings = with_secrets(settings, os.environ, self.name)
        self.clock = SystemClock()
        self.metrics = PrometheusMetrics()
        self.board = Board(KvStore(), self.clock)
        self._host = ray.util.get_node_ip_address()
        http = settings.http
        folder = self._folder = Path(os.environ[MULTIPROCESS_DIR_VARIABLE])
        self._host_board = Board(FolderStore(folder), self.clock)
        api = Api(
            admin_routes(self.board.read, self.metrics.expose, self._host_board.read), http.max_body_bytes, self.metrics
        )
        self._admin = AdminPort(api, http.admin_host, http.admin, folder)
        self._admin.start()

    def reconfigure(self, _user_config: object, rank: ReplicaRank) -> None:
        """Takes the rank that Serve gives this replica, at its start and when others came or went. Called by Serve."""
        if self.rank != rank.rank:
            self.rank = rank.rank
            LOGGER.info("%s from now on", self.member)
            self.renamed()

    def renamed(self) -> None:
        """Called when the replica has another rank, and so another name."""

    @property
    def member(self) -> str:
        """The static name in the consumer group. A replica's successor gets its rank, and so its partitions."""
        return f"{self.name}-{self.rank}"

    def open_log(self, turn_counter: TurnCounter, *, in_bulk: bool = False, session_s: float = 0.0) -> WatchedLog:
        """The Kafka of the settings; a loop that uses it counts its turns.

        in_bulk: for loops in no hurry. session_s: the least time after which a silent member of a group is given up.
        """
        settings = self.settings
        kafka = settings.kafka.in_bulk() if in_bulk else settings.kafka
        kafka = replace(kafka, session_timeout_s=max(session_s, kafka.session_timeout_s))
        log = KafkaLog(kafka, settings.topics.prefix, skip_damaged=settings.log.skip_damaged)
        return WatchedLog(log, turn_counter)

    def run(
        self, loop: Callable[[threading.Event], None], turn_counter: TurnCounter, status: Callable[[], dict[str, Any]]
    ) -> None:
        """Runs a worker's loop in a thread until the replica ends."""
        stuck_s = self.settings.ray.stuck_s
        self._worker = WorkerThread(
            self.member,
            loop,
            turn_counter=turn_counter,
            stuck_s=stuck_s,
            clock=self.clock,
            status=status,
            post=self.post,
        )
        if self.in_group:
            self._leave_with_host()

    def post(self, detail: Mapping[str, Any]) -> None:
        """Posts this process's status on the host's board and, where the head can be reached, on that of all."""
        for board in (self._host_board, self.board):
            board.write(self.name, self.rank, os.getpid(), self._host, dict(detail))

    def check_health(self) -> None:
        """Checks the worker; called by Serve once a second. Raises WorkerDied."""
        if self._worker is not None:
            self._worker.check()

    def _leave_with_host(self) -> None:
        """Makes the loop commit and leave its group once the host goes, and once the raylet, and so this process, ends.

        Others then go on at once, not after the session's end.
        """
        Leaving(self._folder, partial(self._leave, "this host goes")).start()
        once_ended(os.getppid(), partial(self._leave, "the raylet of this host has ended"))

    def _leave(self, reason: str) -> None:
        LOGGER.warning("%s leaves its group: %s", self.member, reason)
        self.stop_worker()

    def stop_worker(self) -> None:
        """Makes the loop flush, commit and end. Blocks. Called by several threads."""
        if self._worker is not None:
            self._worker.stop(self.settings.ray.stop_timeout_s)
