"""The replica of a Recommender, put together from its parts: tables, models and HTTP. Never decides what to recommend.

A module of its own: the other processes need nothing of what it imports.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
from ray.serve.handle import DeploymentHandle

from deploy.config.http_settings import is_loopback
from deploy.http.access import Access
from deploy.http.api import Api
from deploy.http.keys import KeyRing
from deploy.http.routes.erasure import erasure_routes
from deploy.http.routes.intake import intake_routes
from deploy.http.routes.models import model_routes
from deploy.http.routes.public import Behind, routes
from deploy.http.routes.rules import rule_routes
from deploy.http.status import Readiness, judge, troubles_of
from deploy.http.streams.streams import Streams
from deploy.ray.ray_patches import leave_request_ids
from deploy.ray.server_tick import before_end
from deploy.serve.asked_texts import AskedTexts
from deploy.serve.model_versions import ModelVersions
from deploy.serve.profile_lookup import Lookup
from deploy.serve.replica import Replica
from deploy.serve.worker_thread import WorkerDied
from streaming.broker import KafkaLog
from streaming.log.topics import SHOWN_ROOMS
from streaming.log.watched_log import TurnCounter
from streaming.metrics import Metrics

if TYPE_CHECKING:
    from deploy.config.settings import Settings
    from streaming.events import ModelVersion
    from streaming.troubles import Trouble
    from training.inference.interface import ServedVersion

LOGGER = logging.getLogger(__name__)

FIRST_READ_S = 20.0  # Serve calls a start slow after 30


class RecommenderReplica(Replica):
    """The process of a Recommender: tables kept current by a thread, and HTTP in front.

    A ProfileWorker is asked only for profiles that this replica has let go, and the Encoder only for texts that callers
    ask with; the other handles are not used.
    """

    name = "recommender"

    def __init__(
        self,
        settings: Settings,
        local: bool,
        profile_workers: DeploymentHandle,
        encoders: DeploymentHandle,
        *others: DeploymentHandle,
    ) -> None:
        from actors.index.live_index import LiveIndex  # noqa: PLC0415
        from actors.intake.erasures import ErasureWriter  # noqa: PLC0415
        from actors.intake.intake import Intake  # noqa: PLC0415
        from actors.recommend.impressions import Impressions, ImpressionWriter  # noqa: PLC0415  a process imports what it runs
        from actors.recommend.recommender import Recommender  # noqa: PLC0415
        from actors.requests.text_vectors import TextVectors  # noqa: PLC0415
        from actors.rules.refused import RefusedRules  # noqa: PLC0415
        from actors.rules.writer import RuleWriter  # noqa: PLC0415
        from actors.state.shown_queue import ShownQueue  # noqa: PLC0415
        from actors.state.shown_reader import ShownReader  # noqa: PLC0415
        from actors.state.table_reader import TableReader, Tables  # noqa: PLC0415
        from actors.versions.swap import Swapper  # noqa: PLC0415

        super().__init__(settings, local)
        leave_request_ids()
        self._access = access_of(settings, self.metrics)
        configured = settings.rules.rules()
        self._tables = Tables(settings.tables, LiveIndex(settings.index), self.metrics, self.clock, rules=configured)
        turn_counter = TurnCounter()
        self._reader = TableReader(self.open_log(turn_counter), self._tables, self.metrics)
        config = settings.recommend
        impressions = Impressions(config.impressions, config.impressions_waiting)
        texts = TextVectors(settings.search, self.clock)
        self._texts = AskedTexts(
            encoders.encode_asked.remote, texts, settings.search, self.metrics, lambda: self._tables.rooms.encoder
        )
        shown = ShownQueue(secrets.token_hex(8), config.impressions_waiting)
        self._recommender = Recommender(
            self._tables,
            config,
            self.metrics,
            self.clock,
            impressions,
            profile=settings.profile,
            texts=texts,
            experiments=settings.experiments.running,
            shown=shown,
        )
        bulk = KafkaLog(self.settings.kafka.in_bulk(), settings.topics.prefix)
        self._writers = [ImpressionWriter(bulk, impressions, self.metrics)]
        if self._recommender.shown is not None:
            self._writers.append(ImpressionWriter(bulk, shown, self.metrics, SHOWN_ROOMS))
        for writer in self._writers:
            writer.start()
        log = KafkaLog(self.settings.kafka, settings.topics.prefix)
        self._intake = Intake(log, settings.intake, self.clock, self.metrics)
        self._erasures = ErasureWriter(log, self.clock) if settings.http.erases else None
        self._rule_writer = RuleWriter(log, self.clock)
        self._refused_rules = RefusedRules(log, self.metrics, self.clock, lambda: self.rank == 0)
        self._tables.on_refused = self._refused_rules.refuse
        self._swapper = Swapper(
            self._tables,
            partial(load_version, own_uri=settings.registry.uri),
            self._recommender.warm,
            metrics=self.metrics,
            clock=self.clock,
            shadow=self._recommender.shadow if config.shadow else None,
            failures=self._recommender.failures,
        )
        self._versions = ModelVersions(self._tables, settings)
        self._stop = threading.Event()
        beside = [("swapper", self._swapper.run), ("renewer", self._recommender.keep_renewed)]
        if self._recommender.shown is not None:
            table = self._recommender.shown.table
            beside.append(("shown-reader", ShownReader(log, table, self._tables, self.metrics, shown.writer).run))
        self._beside = [
            threading.Thread(target=loop, args=(self._stop,), name=name, daemon=True) for name, loop in beside
        ]
        for thread in self._beside:
            thread.start()
        ask, reader = profile_workers.profile.remote, self._reader
        self._lookup = Lookup(ask, lambda: reader.viewer_partitions, self._tables, config, self.metrics)
        self._elsewhere: list[Trouble] = []
        self.run(self._reader.run, turn_counter, self._state)
        self._await_tables()

    def _await_tables(self) -> None:
        """Waits for the rooms and the live version: Serve sends requests to a replica once it is constructed.

        Where Kafka is away it returns after FIRST_READ_S, and the replica answers 503 until it has read.
        """
        deadline_s = time.monotonic() + FIRST_READ_S
        while not (self._reader.ready and self._swapper.settled) and time.monotonic() < deadline_s:
            time.sleep(0.02)

    def check_health(self) -> None:
        """Checks the replica. Raises WorkerDied, also where it no longer follows which version is live."""
        super().check_health()
        for thread in self._beside:
            if not thread.is_alive():
                raise WorkerDied(f"the thread {thread.name} of {self.member} has ended")

    def __serve_build_asgi_app__(self) -> Api:
        from actors.answers.given_rooms import GivenRooms  # noqa: PLC0415  a process imports what it runs
        from actors.answers.known_rules import KnownRules  # noqa: PLC0415
        from actors.answers.room_map import RoomMaps  # noqa: PLC0415
        from actors.answers.search import Search  # noqa: PLC0415
        from actors.answers.seen_viewers import SeenViewers  # noqa: PLC0415
        from actors.answers.trending import Trending  # noqa: PLC0415
        from actors.streams.table_changes import TableChanges  # noqa: PLC0415

        http, access = self.settings.http, self._access
        streams = Streams(self._recommender, TableChanges(self._tables), self.settings.stream, self.metrics)
        before_end(streams.end)
        with_keys = access is not None and access.asks_for_keys
        behind = Behind(
            self._recommender,
            GivenRooms(self._recommender),
            Trending(self._recommender),
            SeenViewers(self._recommender),
            RoomMaps(self._recommender, self.clock),
            Search(self._recommender, title_weight=self.settings.tables.title_weight),
            self._texts,
            self._lookup,
            [
                *intake_routes(self._intake, self.settings.intake, http.host, with_keys=with_keys),
                *erasure_routes(self._erasures, local_only=is_loopback(http.host)),
                *rule_routes(KnownRules(self._recommender), self._rule_writer, local_only=is_loopback(http.host)),
                *(model_routes(self._versions, local_only=is_loopback(http.host)) if http.guarded else []),
            ],
            streams,
            names_viewers=http.guarded,
            local_only=is_loopback(http.host),
        )
        api = Api(
            routes(behind, self.readiness, with_keys=with_keys),
            http.max_body_bytes,
            self.metrics,
            lambda: self._reader.ready,
            request_timeout_s=http.request_timeout_s,
            slow_request_s=http.slow_request_ms / 1_000,
            access=access,
            cors_origins=http.cors_origins,
        )
        self._answer_directly(api)
        return api

    def _answer_directly(self, api: Api) -> None:
        """Has recommendations answered past Serve, unless the settings or the HTTP server are against it."""
        self.metrics.gauge("replica_direct", 0.0)  # until the server's first connection
        if not self.settings.http.direct_answers:
            return
        try:
            from deploy.ray.direct_answers import answer_directly  # noqa: PLC0415  it imports parts of the server
        except ImportError as err:
            LOGGER.warning("recommendations are answered the ordinary way, which is slower: %s", err)
        else:
            answer_directly(api, self.metrics)

    def readiness(self) -> Readiness:
        """The readiness of this replica as of now."""
        http, age_s, lag = self.settings.http, self._reader.contact_age_s(), dict(self._reader.lag())
        troubles = [*self._reader.troubles(), *self._elsewhere]
        state, ready, reason = judge(
            has_read=self._reader.ready,
            contact_age_s=age_s,
            lag=sum(lag.values()),
            ready_contact_s=http.ready_contact_s,
            unready_contact_s=http.unready_contact_s,
            troubles=troubles,
        )
        swap = self._swapper.status()
        self.metrics.gauge("replica_ready", float(ready))
        return Readiness(
            ready=ready,
            reason=reason,
            lag=lag,
            contact_age_s=None if age_s == float("inf") else round(age_s, 3),
            live_rooms=len(self._tables.rooms),
            model_version=swap.version,
            model_refused=f"{swap.wanted}: {swap.refused}" if swap.refused else "",
            model_waits=f"{swap.wanted}: {swap.waits}" if swap.waits else "",
            state=state,
            troubles=troubles,
            anew=self._reader.anew_text,
            lost=self._reader.lost_text,
        )

    def _state(self) -> dict[str, Any]:
        """This replica's status for the board, once a second. The workers' troubles are read from the board."""
        status = self.board.read()
        workers = [post for post in status.processes if post.name != self.name]
        self._elsewhere = troubles_of(msgspec.structs.replace(status, processes=workers))
        own = msgspec.structs.replace(self.readiness(), troubles=list(self._reader.troubles()))
        return cast("dict[str, Any]", msgspec.to_builtins(own))

    async def __del__(self) -> None:
        if self._worker is None:  # its construction failed, and the log should show why
            return
        self._stop.set()
        timeout_s = self.settings.ray.stop_timeout_s
        stops = [*(writer.stop for writer in self._writers), self._intake.stop, self._refused_rules.stop]
        flushed = [asyncio.to_thread(stop, timeout_s) for stop in stops]
        await asyncio.gather(*flushed, asyncio.to_thread(self.stop_worker))


def access_of(settings: Settings, metrics: Metrics) -> Access | None:
    """The check of callers; None where everybody is of this machine. Raises ConfigError: callers would need no key."""
    http = settings.http
    http.require_keys()
    if http.keys_file:
        return Access(KeyRing(Path(http.keys_file)), metrics, share=1 / http.replicas)
    writing = {"ingest": settings.intake.enabled, "admin": http.erasure}
    open_to = ["recommend", *(scope for scope, enabled in writing.items() if enabled == "on")]
    return None if is_loopback(http.host) else Access(None, metrics, open_to=open_to)


def load_version(record: ModelVersion, own_uri: str) -> ServedVersion:
    """Loads a version from the URI in its record. own_uri: the registry of this process.

    Raises VersionError: it is damaged, or not of this build.
    """
    from training.inference.served_model import Version  # noqa: PLC0415
    from training.registry.registry import load_announced  # noqa: PLC0415  a process imports what it runs

    return Version(load_announced(record, own_uri))
