"""A whole system for a test: its own Kafka, Ray and application on free ports, load on it, and questions to it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from actors.recommend.schema import Answer
from deploy.config.settings import Settings
from deploy.http.client import Client, NotUp
from deploy.http.status import Post
from deploy.local.system import System
from streaming.broker import KafkaLog
from streaming.errors import LogError
from streaming.local_kafka import LocalKafka
from streaming.log.codec import Decoder
from streaming.log.log import Sink
from streaming.log.topics import ROOM_STATES
from streaming.machine.ports import free_port
from streaming.recorded.playback import Event

WAIT_S = 90.0  # a replica that loads torch on two busy cores takes 20 s
ANSWER_GRACE_MS = 1_000  # from an end on room-states to the tables of every replica: milliseconds, unless starved
LONG_S = 0.5  # without an answer: worth saying where a test fails
RECONNECT_MS = 2_000  # every client finds a broker that came back by itself, .5 s at most, unless starved


def await_true(what: str, holds: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Waits until it holds; fails with `what` if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.1)


class Running:
    """A started system. `kafka` may be killed and started again."""

    def __init__(self, folder: Path, workers: int, replicas: int) -> None:
        base = Settings()
        self.kafka = LocalKafka(
            dataclasses.replace(base.local_kafka, folder=str(folder / "kafka"), port=0, controller_port=0)
        )
        self.kafka.start()
        self.settings = dataclasses.replace(
            base,
            kafka=dataclasses.replace(
                base.kafka, bootstrap_servers=self.kafka.bootstrap_servers, session_timeout_s=3.0
            ),
            http=dataclasses.replace(base.http, port=free_port(), admin_port=free_port(), replicas=replicas),
            ray=dataclasses.replace(base.ray, room_workers=workers, profile_workers=workers),
        )
        self.system = System(self.settings, folder / "system")
        self.log = KafkaLog(self.settings.kafka)

    def __enter__(self) -> Running:
        try:
            self.system.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.system.stop()
        self.kafka.kill()

    def client(self) -> Client:
        """A connection of its own, for one thread."""
        return self.system.client()

    def processes(self) -> list[Post]:
        """What every process says of itself; of those only that are alive."""
        with contextlib.closing(self.client()) as client:
            return [post for post in client.status().processes if is_alive(post.pid)]

    def metrics(self) -> list[str]:
        """The lines of /metrics."""
        with contextlib.closing(self.client()) as client:
            return client.metrics().splitlines()

    def kill(self, name: str, rank: int) -> None:
        """kill -9 of one process, as soon as it is there; returns once it is gone.

        A process with much memory takes a while to go, and until then it looks as if nothing had happened.
        """

        def found() -> list[int]:
            return [post.pid for post in self.processes() if (post.name, post.rank) == (name, rank)]

        await_true(f"{name}-{rank}", lambda: bool(found()))
        pid = found()[0]
        os.kill(pid, signal.SIGKILL)
        await_true(f"{name}-{rank} is gone", lambda: not is_alive(pid))

    def await_whole(self) -> None:
        """Waits until every process is there, has its partitions and has caught up."""
        workers, replicas = self.settings.ray.room_workers, self.settings.http.replicas
        wanted = {("encoder", 0)} | {("recommender", rank) for rank in range(replicas)}
        wanted |= {(name, rank) for name in ("room-worker", "profile-worker") for rank in range(workers)}

        def whole() -> bool:
            try:
                posts = self.processes()
            except NotUp:
                return False
            ready = {
                (post.name, post.rank)
                for post in posts
                if post.detail.get("ready", True) and post.detail.get("partitions", True)
            }
            return wanted <= ready

        await_true(f"every process of {sorted(wanted)}", whole)


class Ticking(Protocol):
    """A platform that is not real: its events, some time's worth after the other."""

    def ticks(self, start_ms: int) -> Iterator[Sequence[Event]]:
        """Events in order; each tick is due at the time of its last one."""


class Load(threading.Thread):
    """A platform at real speed until told to stop; outlives the broker. events: how many were sent."""

    def __init__(self, log: KafkaLog, platform: Ticking) -> None:
        super().__init__(name="load", daemon=True)
        self._log = log
        self._platform = platform
        self._halt = threading.Event()
        self.events = 0

    def run(self) -> None:
        sink = self._log.sink()
        start_ms = _now_ms()
        for tick in self._platform.ticks(start_ms):
            sink = self._send(sink, tick)
            self.events += len(tick)
            due_ms = tick[-1].at_ms if tick else start_ms
            if self._halt.wait(max(0.0, due_ms / 1000 - time.time())):
                break
        sink.close()

    def halt(self) -> None:
        """Stops and waits until everything sent is acknowledged."""
        self._halt.set()
        self.join(WAIT_S)
        assert not self.is_alive(), "the load does not stop"

    def _send(self, sink: Sink, events: Sequence[Event]) -> Sink:
        while True:
            try:
                for event in events:
                    sink.send(event.topic, event.key, event.value)
                sink.flush()
            except LogError:  # the broker is away: all of them once more, as any producer that retries
                with contextlib.suppress(LogError):
                    sink.close()
                sink = self._log.sink()
            else:
                return sink


class Ends(threading.Thread):
    """Notes when a room's end was first readable on room-states: from then on it is applied."""

    def __init__(self, log: KafkaLog) -> None:
        super().__init__(name="ends", daemon=True)
        self._log = log
        self._halt = threading.Event()
        self._outages: list[tuple[int, float]] = []
        self.applied_ms: dict[str, int] = {}

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """The broker goes and comes back: an end that this finds first is not asked of others before they can know."""
        gone_ms = _now_ms()
        self._outages.append((gone_ms, math.inf))
        yield
        self._outages[-1] = (gone_ms, _now_ms() + RECONNECT_MS)

    def known_ms(self, room: str) -> float:
        """From when on every replica must know the room's end; for ever later where it has not ended."""
        applied_ms = self.applied_ms.get(room, math.inf)
        found_ms = max((found for gone, found in self._outages if gone <= applied_ms < found), default=applied_ms)
        return found_ms + ANSWER_GRACE_MS

    def run(self) -> None:
        decode = Decoder(ROOM_STATES)
        source = self._log.reader(self._log.partitions(ROOM_STATES))
        while not self._halt.is_set():
            for records in source.poll(0.1).records.values():
                for record in records:
                    state = decode(record.value) if record.value is not None else None
                    if state is not None and state.status != "live":
                        self.applied_ms.setdefault(state.room, _now_ms())
        source.close()

    def halt(self) -> None:
        self._halt.set()
        self.join(WAIT_S)


class Viewers(threading.Thread):
    """Asks all the time, and checks every answer against the ends that were applied before it was asked for."""

    def __init__(self, client: Client, ends: Ends) -> None:
        super().__init__(name="viewers", daemon=True)
        self._client = client
        self._ends = ends
        self._halt = threading.Event()
        self.answers = 0
        self.failures: list[str] = []
        self.dead: list[str] = []
        self.gaps: list[tuple[float, float]] = []  # without an answer, longer than LONG_S: from when to when

    def run(self) -> None:
        answered_s = time.monotonic()
        while not self._halt.wait(0.03):
            began_ms = _now_ms()
            try:
                answer = self._client.recommend(f"viewer{self.answers % 200}")
            except NotUp as err:
                self.failures.append(str(err))
                continue
            since_s, answered_s = answered_s, time.monotonic()
            if answered_s - since_s > LONG_S:
                self.gaps.append((since_s, answered_s))
            self.answers += 1
            self._check(answer, began_ms)

    def halt(self) -> None:
        self._halt.set()
        self.join(WAIT_S)
        self._client.close()

    def _check(self, answer: Answer, began_ms: int) -> None:
        for item in answer.rooms:
            if self._ends.known_ms(item.room) < began_ms:
                applied_ms = self._ends.applied_ms[item.room]
                self.dead.append(f"{item.room}, {began_ms - applied_ms} ms after its end was applied")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def is_alive(pid: int) -> bool:
    """Whether a process runs. A killed one stays a zombie until its parent looks: on a busy machine for seconds."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
