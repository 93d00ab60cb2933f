"""Owns the demo: starts Kafka, the system and a platform, watches them, stops them. Never draws and never judges."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from actors.answer import Answer, Room
from deploy.asker import Api, Asker, RequestFailed
from deploy.config import Settings
from deploy.exposition import Exposition
from deploy.feed import Feed
from deploy.picture import History, Look, Picture
from deploy.platform_view import PlatformView
from deploy.promises import Promises, Verdict
from deploy.screen import Show
from deploy.system import System
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import Clock
from streaming.errors import TidecastError
from streaming.local_kafka import LocalKafka
from streaming.topic_check import check_topics

LOGGER = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 0.05  # 20 checked answers a second beside those that are shown
SHOWN_VIEWERS = 3
ITEMS = 10
WARM_UP_TIMEOUT_S = 20.0  # for the first room to be servable after the platform starts
EXISTING_PREFIX = "demo."  # made-up rooms never get into the topics of a real platform


class DemoError(TidecastError):
    """The demo cannot go on."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the start and how long it took."""

    name: str
    took_s: float


class Demo:
    """Everything that runs, as a context manager: running inside, stopped after, whatever happened between."""

    def __init__(self, settings: Settings, feed: Sequence[str], folder: Path, clock: Clock) -> None:
        """feed: the arguments of the `tidecast` command that plays the platform. folder: is emptied at the start."""
        self._settings = settings
        self._feed = feed
        self._folder = folder
        self._clock = clock
        self._stack = contextlib.ExitStack()
        self._stop = threading.Event()
        self.stages: list[Stage] = []

    def __enter__(self) -> Demo:
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        # A second Ctrl-C while everything is being stopped would leave something running.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._stack.close()
        finally:
            signal.signal(signal.SIGINT, before)

    def watch(self, seconds: float | None, show: Show) -> Verdict:
        """Shows a picture every LOOK_EVERY_S for `seconds` (None: until Ctrl-C), then judges what was seen.

        Raises DemoError where the platform's process ends early or no room becomes servable.
        """
        api = Api(self._url)
        try:
            first = self._warm_up(api)
            return self._watch(api, first, seconds, show)
        finally:
            api.close()

    def _watch(self, api: Api, first: Exposition, seconds: float | None, show: Show) -> Verdict:
        history = History()
        began_s = self._clock.monotonic_s()
        shown: list[str] = []
        now = first
        with contextlib.suppress(KeyboardInterrupt):
            while seconds is None or self._clock.monotonic_s() - began_s < seconds:
                self._feeding.require()
                shown = shown if len(shown) == SHOWN_VIEWERS else self._view.active(SHOWN_VIEWERS)
                try:
                    now = api.metrics()
                    rooms = api.get("/v1/rooms?limit=100", list[Room])
                except RequestFailed as err:
                    self._promises.check_error(str(err))
                else:
                    self._promises.check_metrics(now)
                    history.add(Look(self._clock.monotonic_s(), now, rooms))
                    answers = [answer for viewer in shown if (answer := self._asker.ask(viewer, ITEMS))]
                    show.update(self._picture(history, answers, began_s, first))
                self._stop.wait(LOOK_EVERY_S)
        return self._promises.verdict(now, first)

    def _picture(self, history: History, answers: Sequence[Answer], began_s: float, first: Exposition) -> Picture:
        now = history.last.metrics
        verdict = self._promises.verdict(now, first)
        return Picture(
            elapsed_s=self._clock.monotonic_s() - began_s,
            answers=answers,
            trends=history.trends(),
            rooms_live=self._view.live(),
            rooms_ended=self._view.ended(),
            rates=history.rates(),
            freshness_p50_s=history.freshness_s(0.5),
            freshness_p99_s=history.freshness_s(0.99),
            stale=int(now.total("tidecast_rooms_stale")),
            backlog=int(now.total("tidecast_encoder_backlog")),
            checked=verdict.answers,
            broken=verdict.broken,
        )

    def _start(self) -> None:
        settings = self._settings
        if not settings.kafka.bootstrap_servers:
            with self._stage("Kafka"):
                settings = self._start_kafka(settings)
        else:
            settings = replace(
                settings, topics=replace(settings.topics, prefix=EXISTING_PREFIX + settings.topics.prefix)
            )
        with self._stage("topics"), KafkaAdmin(settings.kafka) as admin:
            check_topics(admin, settings.topics)
        with self._stage("Ray and the application"):
            system = System(settings)
            self._stack.callback(system.stop)
            system.start()
            self._url = system.url
        with self._stage("platform"):
            self._start_watching(settings)
            self._start_feed(settings)

    def _start_kafka(self, settings: Settings) -> Settings:
        kafka = LocalKafka(replace(settings.local_kafka, folder=str(self._folder / "kafka")))
        kafka.stop()  # one that a demo left behind when it was killed
        shutil.rmtree(self._folder / "kafka", ignore_errors=True)  # its rooms would be taken for live
        self._stack.callback(kafka.stop)
        kafka.start()
        return replace(settings, kafka=replace(settings.kafka, bootstrap_servers=kafka.bootstrap_servers))

    def _start_watching(self, settings: Settings) -> None:
        self._view = PlatformView(KafkaLog(settings.kafka, settings.topics.prefix))
        self._promises = Promises(self._view.ended_at_ms)
        self._asker = Asker(Api(self._url), self._promises, lambda: self._view.active(100), self._clock)
        self._stack.callback(self._stop.set)
        thread = threading.Thread(target=self._view.run, args=(self._stop,), name="platform-view", daemon=True)
        thread.start()
        self._stack.callback(thread.join, 5.0)
        self._stack.callback(self._stop.set)

    def _start_feed(self, settings: Settings) -> None:
        overrides = {
            "TIDECAST_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "TIDECAST_TOPICS__PREFIX": settings.topics.prefix,
        }
        self._feeding = Feed(self._feed, overrides, self._folder / "platform.log")
        self._stack.callback(self._feeding.stop)

    def _warm_up(self, api: Api) -> Exposition:
        """Waits for the first answer with a room; then questions are asked all the time."""
        deadline_s = self._clock.monotonic_s() + WARM_UP_TIMEOUT_S
        with self._stage("first answer"):
            while True:
                self._feeding.require()
                with contextlib.suppress(RequestFailed):
                    if api.recommend("nobody", 1).rooms:
                        break
                if self._clock.monotonic_s() > deadline_s:
                    raise DemoError(f"no room can be recommended {WARM_UP_TIMEOUT_S:.0f} s after the platform started")
                self._stop.wait(0.1)
        thread = threading.Thread(
            target=self._asker.run, args=(self._stop, ASK_EVERY_S, ITEMS), name="asker", daemon=True
        )
        thread.start()
        self._stack.callback(thread.join, 5.0)
        self._stack.callback(self._stop.set)
        return api.metrics()

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began_s = self._clock.monotonic_s()
        LOGGER.info("start %s", name)
        yield
        self.stages.append(Stage(name, self._clock.monotonic_s() - began_s))
