"""The demo: starts the system and a platform, watches them, stops them. Never draws and never judges."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from deploy.config.settings import Settings
from deploy.demo.asker import Asker
from deploy.demo.console_page import ConsolePage
from deploy.demo.control import DemoControl
from deploy.demo.feed import Feed
from deploy.demo.guest_pages import GuestPages
from deploy.demo.platform_view import PlatformView
from deploy.demo.promises import Promises, Verdict
from deploy.demo.screen import Show
from deploy.demo.snapshot import History, Look, Picture
from deploy.http.client import Client, NotUp
from deploy.http.prometheus_text import Exposition, parse
from deploy.http.status import MEASURED, SystemStatus
from deploy.local.system import System
from streaming.broker import KafkaLog
from streaming.clock import Clock
from streaming.errors import TidecastError
from streaming.local_kafka import LocalKafka
from streaming.patience import Patience, free_cores
from streaming.record_format.first_look import look_at_types
from tidecast_client import Answer

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 0.05  # 20 checked answers a second beside those that are shown
SHOWN_VIEWERS = 3
ITEMS = 10
ROOMS_COMPARED = 100
ARCHIVED_S = 4.0  # after so long a file of the archive is written: the Trainer learns from files
TRAIN_FIRST_S = 20.0  # after the start: by then there were some thousand visits
TRAIN_EVERY_S = 60.0
# freshness is judged once the model is loaded and the texts that waited for it are encoded
LEAST_WARM_UP_S = 5.0
MOST_WARM_UP_S = 15.0
MEASURE_S = 2.0  # long enough for some 50 texts on a slow machine
ENCODER_TIMEOUT_S = 60.0  # to load its model and measure; 5 s on an idle machine
WARM_UP_TIMEOUT_S = 30.0  # for the first room to be recommended after the platform starts
JOIN_TIMEOUT_S = 2.0
EXISTING_PREFIX = "demo."  # made-up rooms never get into the topics of a real platform


class DemoError(TidecastError):
    """Raised when the demo cannot go on."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the start, with its duration."""

    name: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Speed:
    """The machine's speed for the demo: texts per second of an Encoder alone, and cores that are free beside it."""

    texts_per_s: float
    cores: float


class Stopwatch:
    """A stopwatch for the steps of the start: each lasts until the next is named."""

    def __init__(self, clock: Clock, report_step: Callable[[str], None]) -> None:
        self._clock = clock
        self._report_step = report_step
        self._current = ""
        self._since_s = 0.0
        self._running = True
        self.stages: list[Stage] = []

    def step(self, name: str) -> None:
        """Ends the current step and begins another. After `finish`, steps are reported but no longer timed."""
        self._end()
        self._current = name
        self._report_step(name)

    def finish(self) -> None:
        """Ends the last step."""
        self._end()
        self._running = False

    def _end(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._current and self._running:
            self.stages.append(Stage(self._current, now_s - self._since_s))
        self._since_s = now_s


class WarmUp:
    """The encoder's warm-up: until it has loaded its model and encoded its backlog, or had time enough."""

    def __init__(self, at_s: float) -> None:
        self._loaded_s = at_s
        self._over = False

    def is_over(self, now: Exposition, at_s: float) -> bool:
        """Whether the warm-up is over; asked at every look. Once over, it stays so."""
        if not now.total("tidecast_encode_seconds_sum"):
            self._loaded_s = at_s
        since_s = at_s - self._loaded_s
        behind = now.total("tidecast_encoder_backlog") > now.total("tidecast_rooms_live", reader="room-workers") / 2
        self._over = self._over or (since_s >= LEAST_WARM_UP_S and not behind) or since_s >= MOST_WARM_UP_S
        return self._over


class Demo:
    """Everything that the demo runs, as a context manager: running inside, stopped after, whatever happened."""

    def __init__(
        self,
        settings: Settings,
        feed: Callable[[Speed | None], Sequence[str]],
        folder: Path,
        clock: Clock,
        report_step: Callable[[str], None],
        *,
        console: Sequence[str],
        report_console: Callable[[str], None] = lambda _: None,
    ) -> None:
        """feed: gives the arguments of the `tidecast` command that plays the platform, by the machine's speed.

        The speed is None where it could not be measured. console: the arguments of the `tidecast` command that shows
        web pages. folder: for the demo's Kafka, which begins empty each time, and the output of both processes.
        report_step: receives each step in words. report_console: receives the address of the pages, before all else.
        """
        look_at_types()
        self._settings = for_demo(settings, folder)
        self._feed = feed
        self._console = console
        self._report_console = report_console
        self.console_url = ""
        self._folder = folder
        self._clock = clock
        self._report_step = report_step
        self._stopwatch = Stopwatch(clock, report_step)
        self._stack = contextlib.ExitStack()
        self._stop = threading.Event()
        self._promises = Promises(self._ended_at_ms)
        self.stages = self._stopwatch.stages

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

    def watch(self, seconds: float | None, show: Show) -> Verdict:
        """Shows a picture every LOOK_EVERY_S for `seconds` (None: until Ctrl-C), then judges what was seen.

        Raises FeedError where the platform's process fails, DemoError where somebody stops the system.
        """
        history = History()
        client = self._system.client()
        began_s = self._clock.monotonic_s()
        first = now = parse(client.metrics())
        shown: list[str] = []
        warm_up = WarmUp(began_s)
        with contextlib.suppress(KeyboardInterrupt), contextlib.closing(client):
            while seconds is None or self._clock.monotonic_s() - began_s < seconds:
                self._feeding.require()
                shown = shown if len(shown) == SHOWN_VIEWERS else self._view.active(SHOWN_VIEWERS)
                try:
                    now = parse(client.metrics())
                    rooms = client.rooms(limit=ROOMS_COMPARED)
                    self._promises.check_processes(client.status())
                except TidecastError as err:
                    if self._system.running() is None:
                        raise DemoError("somebody has stopped the system, as `tidecast down` does") from err
                    self._promises.check_error(str(err))
                else:
                    history.add(Look(self._clock.monotonic_s(), now, rooms))
                    if not warm_up.is_over(now, history.last.at_s):
                        first = now
                    self._promises.check_metrics(now, history.last.at_s)
                    answers = [answer for viewer in shown if (answer := self._shown.ask(viewer, ITEMS))]
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
            model=_model(answers, now),
            checked=verdict.answers,
            broken=verdict.broken,
            slow=verdict.slow,
        )

    def _start(self) -> None:
        system = System(self._settings, progress=self._stopwatch.step, await_encoder=False, outlives=False)
        self._system = system
        system.require_none()  # before anything of its is removed
        control = DemoControl(self._status, self._forgive)
        self._stack.callback(control.close)
        page = ConsolePage(self._console, self._settings, self._folder / "console.log", control.theirs)
        self._stack.callback(page.stop)
        self.console_url = page.url
        self._report_console(page.url)
        if not self._settings.kafka.bootstrap_servers:
            LocalKafka(self._settings.local_kafka).stop()  # left behind by a demo that was killed
            shutil.rmtree(self._settings.local_kafka.folder, ignore_errors=True)  # its rooms would count as live
            for made in ("archive", "models", "training"):  # of that Kafka
                shutil.rmtree(self._folder / made, ignore_errors=True)
        self._stack.enter_context(system)
        log = KafkaLog(system.settings.kafka, system.settings.topics.prefix)
        view = self._view = PlatformView(log)
        self._run("platform-view", view.run)
        overrides = {
            "TIDECAST_KAFKA__BOOTSTRAP_SERVERS": system.settings.kafka.bootstrap_servers,
            "TIDECAST_TOPICS__PREFIX": system.settings.topics.prefix,
        }
        self._stopwatch.step("measuring the encoder")
        speed = self._speed()
        self._stopwatch.step("starting the platform")
        self._feeding = Feed(self._feed(speed), overrides, self._folder / "platform.log")
        self._stack.callback(self._feeding.stop)
        system.also_ends(self._feeding.pid)
        self._stopwatch.step("waiting for the first room to recommend")
        self._await_room()
        self._stopwatch.finish()
        url, token, promises = self._settings.http.url, self._settings.http.token, self._promises
        self._shown = Asker(Client(url, token=token), promises, view.active, self._clock)
        asker = Asker(Client(url, token=token), promises, view.active, self._clock)
        self._run("asker", lambda stop: asker.run(stop, ASK_EVERY_S, ITEMS))
        guests = GuestPages(
            Asker(Client(url, token=token), promises, view.active, self._clock), log.sink(), self._clock, ITEMS
        )
        self._run("guests", guests.run)

    def _ended_at_ms(self, room: str) -> int | None:
        return self._view.ended_at_ms(room)

    def _status(self) -> SystemStatus:
        with contextlib.closing(self._system.client()) as client:
            return client.status()

    def _forgive(self, pid: int) -> None:
        """Somebody kills this process by the console: that another takes its place breaks no promise."""
        self._promises.forgive(pid)

    def _run(self, name: str, work: Callable[[threading.Event], None]) -> None:
        """Runs `work` in a thread until everything is stopped."""
        thread = threading.Thread(target=work, args=(self._stop,), name=name, daemon=True)
        thread.start()
        self._stack.callback(thread.join, JOIN_TIMEOUT_S)
        self._stack.callback(self._stop.set)

    def _speed(self) -> Speed | None:
        """The speed of this machine, once the Encoder has loaded its model and measured itself; None: it has not."""
        patience = Patience(ENCODER_TIMEOUT_S)
        with contextlib.closing(self._system.client()) as client:
            while not patience.is_over():
                with contextlib.suppress(NotUp):
                    encoders = [post.detail for post in client.status().processes if post.name == "encoder"]
                    if measured := [float(detail[MEASURED]) for detail in encoders if MEASURED in detail]:
                        return Speed(sum(measured), free_cores())
                self._stop.wait(0.1)
        return None

    def _await_room(self) -> None:
        patience = Patience(WARM_UP_TIMEOUT_S)
        with contextlib.closing(self._system.client()) as client:
            while not _has_room(client):
                self._feeding.require()
                if patience.is_over():
                    raise DemoError(f"no room can be recommended {patience.spent()} after the platform started")
                self._stop.wait(0.1)

    def _close(self) -> None:
        # a second Ctrl-C while everything is being stopped would leave something running
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._stack.close()
        finally:
            signal.signal(signal.SIGINT, before)


def for_demo(settings: Settings, folder: Path) -> Settings:
    """The settings with a Kafka of the demo's own, or with topics of its own on an existing Kafka, and a Trainer.

    The Trainer learns from the demo's own archive, in its own process: a worker would take a third of the demo's minute
    to start.
    """
    settings = replace(
        settings,
        archive=replace(settings.archive, uri=str((folder / "archive").absolute()), flush_s=ARCHIVED_S),
        encoder=replace(settings.encoder, measure_s=settings.encoder.measure_s or MEASURE_S),
        recommend=replace(settings.recommend, impressions=1.0),  # few are asked for, and a report wants all
        registry=replace(settings.registry, uri=str((folder / "models").absolute())),
        training=replace(
            settings.training,
            every_s=settings.training.every_s or TRAIN_EVERY_S,
            first_s=settings.training.first_s or TRAIN_FIRST_S,
            folder=str((folder / "training").absolute()),
            workers=0,
        ),
    )
    if settings.kafka.bootstrap_servers:
        return replace(settings, topics=replace(settings.topics, prefix=EXISTING_PREFIX + settings.topics.prefix))
    return replace(settings, local_kafka=replace(settings.local_kafka, folder=str(folder / "kafka")))


def _model(answers: Sequence[Answer], now: Exposition) -> str:
    """The version that answers, and the outcome of those that were trained, in words."""
    version = answers[0].model_version if answers else "-"
    runs = {outcome: int(now.total("tidecast_trainings_total", outcome=outcome)) for outcome in ("live", "refused")}
    learned = sum(runs.values())
    return f"{version} ({learned} learned, {runs['live']} went live)" if learned else f"{version} (none learned yet)"


def _has_room(client: Client) -> bool:
    try:
        return bool(client.rooms(limit=1))
    except NotUp:
        return False
