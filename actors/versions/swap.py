"""The change of the version that answers: load, embed the rooms, warm up, flip. Never answers, never trains.

The version in force is one reference of the room table. Another is built in this thread, in slices, without the tables'
lock. Rooms that change meanwhile are journalled and embedded again. Then the lock is held for the last few rooms and
the flip. No request waits for longer than that, and none sees half a version. A version that cannot be loaded, does not
fit the rooms or gives no numbers is refused, and the one in force goes on. The version before stays loaded, so that a
return to it embeds only rooms that changed since. A version that fails requests gives way to the one before, until it
is announced again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actors.state.circuit_breaker import CircuitBreaker
from actors.state.room_embeddings import LiveEmbeddings
from actors.state.table_reader import Tables
from actors.versions.compatibility import check_fits
from streaming.clock import Clock
from streaming.errors import TidecastError
from streaming.events import ModelVersion
from streaming.metrics import Metrics
from training.inference.interface import ServedVersion
from training.registry.manifest import V0

LOGGER = logging.getLogger(__name__)

SLICE = 128  # rooms embedded at a stretch: some 2 ms, in which answers share the processor
LAST = 16  # rooms embedded under the lock, with the flip; as many as the reader applies in a turn
PAUSE_S = 0.001  # least pause between slices; else as long as the slice took: answers keep half of the processor
IDLE_S = 0.2  # between checks while nothing is announced
RETRY_MS = 30_000  # a version that was refused is tried again: its store may have been away

Load = Callable[[ModelVersion], ServedVersion]
Warm = Callable[[LiveEmbeddings], None]
Shadow = Callable[[LiveEmbeddings | None], None]


@dataclass(frozen=True, slots=True)
class SwapStatus:
    """The version that answers here and the one that should. refused: why it does not yet, "" if it does."""

    version: str
    wanted: str
    refused: str


@dataclass(slots=True)
class _Beside:
    """Embeddings not in force, and the slots that they must catch up on. record: None for the baseline ranker."""

    embeddings: LiveEmbeddings
    behind: set[int]
    record: ModelVersion | None


class _GivenUp(Exception):
    """Raised when another version is wanted meanwhile, or the process ends."""


class Swapper:
    """Puts the version in force that the log announces. `run` is for one thread; everything else for any."""

    def __init__(
        self,
        tables: Tables,
        load: Load,
        warm: Warm,
        *,
        metrics: Metrics,
        clock: Clock,
        shadow: Shadow | None = None,
        failures: CircuitBreaker | None = None,
    ) -> None:
        """load: raises VersionError. warm: calls the version a few times; raises where it does not answer in numbers.

        shadow: receives the newest candidate, kept as current as the version in force, or None. Without `shadow`,
        candidates are ignored. failures: of requests; None: nobody counts them, and no version gives way.
        """
        self._tables = tables
        self._rooms = tables.rooms
        self._load = load
        self._warm = warm
        self._metrics = metrics
        self._clock = clock
        self._show = shadow
        self._failures = failures
        self._failed: dict[str, ModelVersion | None] = {}  # versions that gave way, each as it was announced then
        self._in_force: ModelVersion | None = None
        self._before: _Beside | None = None
        self._shadow: _Beside | None = None
        self._unfit: ModelVersion | None = None  # a candidate that could not be loaded
        self._refused: ModelVersion | None = None
        self._refused_ms = 0
        self._reason = ""
        self.settled = False  # whether the version that was live when the tables were read answers, or was refused

    def run(self, stop: threading.Event) -> None:
        """Follows the announced version until `stop`. Blocks."""
        self._metrics.gauge("model_version", 0.0)
        while not stop.is_set():
            self._tables.announced_changed.wait(0.02 if not self.settled else IDLE_S)
            self._tables.announced_changed.clear()
            if self._tables.current:
                self.turn(stop)
                self.settled = True
                self.follow_candidate(stop)

    def turn(self, stop: threading.Event) -> None:
        """Puts the wanted version in force, if it is another one. Blocks until it answers or is refused."""
        self._give_way(stop)
        wanted = self._tables.wanted
        if _name(wanted) == self._rooms.embeddings.version:
            self._reason, self._in_force = "", wanted
            return
        if self._has_failed(wanted):
            return
        if wanted is not None and wanted is self._refused and self._clock.now_ms() - self._refused_ms < RETRY_MS:
            return
        began_s, was = time.perf_counter(), self._rooms.embeddings.version
        try:
            self._swap(self._taken_back(wanted) or self._begun(wanted), wanted, stop)
        except _GivenUp:
            return
        except Exception as err:  # whatever a version does, the one in force goes on
            self._refuse(wanted, err)
            return
        took_s = time.perf_counter() - began_s
        self._reason, self._refused = "", None
        self._metrics.count("swaps_total", outcome="live")
        self._metrics.observe("swap_seconds", took_s, stage="total")
        LOGGER.info("models: %s answers in the place of %s, after %.0f ms", _name(wanted), was, took_s * 1000)

    def follow_candidate(self, stop: threading.Event) -> None:
        """Keeps the newest candidate current for the shadow; it then goes live without being loaded."""
        candidate = self._tables.candidate
        if self._show is None or (candidate is None and self._shadow is None) or candidate is self._unfit is not None:
            return
        try:
            if self._shadow is not None and self._shadow.embeddings.version != _name(candidate):
                self._drop_shadow()
            if candidate is None:
                return
            is_new = self._shadow is None
            shadow = self._shadow = self._shadow or self._begun(candidate)
            self._catch_up(shadow, self._tables.wanted, stop)
            if is_new:
                self._show(shadow.embeddings)
        except _GivenUp:
            return
        except Exception as err:  # a candidate is nobody's answer
            self._unfit = candidate
            self._drop_shadow()
            LOGGER.warning("models: the candidate %s is not scored in the shadow: %s", _name(candidate), err)

    def _drop_shadow(self) -> None:
        shadow, self._shadow = self._shadow, None
        if self._show is not None:
            self._show(None)
        if shadow is not None:
            with self._tables.lock:
                self._rooms.unfollow(shadow.behind)

    def status(self) -> SwapStatus:
        """The status as of now."""
        return SwapStatus(self._rooms.embeddings.version, _name(self._tables.wanted), self._reason)

    def _give_way(self, stop: threading.Event) -> None:
        """Returns to the version before if the one in force fails requests; to v0 if that one did too."""
        failing = self._rooms.embeddings.version
        why = self._failures.beyond_use(failing) if self._failures is not None else ""
        if self._failures is None or not why:
            return
        before = self._before
        is_good = before is not None and not self._has_failed(before.record)
        if before is not None and is_good:
            self._before = None
        else:
            before = self._begun(None)
        self._failed[failing] = self._in_force
        try:
            self._swap(before, self._tables.wanted, stop)
        except _GivenUp:
            return
        except Exception:
            LOGGER.exception("models: %s fails requests, and %s cannot answer", failing, before.embeddings.version)
            return
        self._failures.clear(failing)  # if it is announced again, it begins anew
        self._reason = why
        self._metrics.count("swaps_total", outcome="back")
        LOGGER.error("models: %s gives way to %s: %s", failing, before.embeddings.version, why)

    def _has_failed(self, record: ModelVersion | None) -> bool:
        """Whether this announcement of a version has given way."""
        return record is not None and self._failed.get(record.version) is record

    def _swap(self, beside: _Beside, wanted: ModelVersion | None, stop: threading.Event) -> None:
        """Puts embeddings in force. Raises _GivenUp where another version than `wanted` is announced meanwhile."""
        try:
            with self._timed("embed"):
                self._catch_up(beside, wanted, stop)
            with self._timed("warm"):
                self._warm(beside.embeddings)
            while not self._flip(beside):
                self._embed(beside, SLICE)
        except BaseException:
            with self._tables.lock:
                self._rooms.unfollow(beside.behind)
            raise

    def _catch_up(self, beside: _Beside, wanted: ModelVersion | None, stop: threading.Event) -> None:
        while len(beside.behind) > LAST:
            began_s = time.perf_counter()
            self._embed(beside, SLICE)
            if stop.wait(max(PAUSE_S, time.perf_counter() - began_s)) or self._tables.wanted is not wanted:
                raise _GivenUp

    def _taken_back(self, wanted: ModelVersion | None) -> _Beside | None:
        """The version before or the one in the shadow if it is the wanted one, else None. It is not kept any more."""
        shadow, name = self._shadow, _name(wanted)
        if shadow is not None and self._show is not None and shadow.embeddings.version == name:
            self._shadow = None
            self._show(None)
            shadow.record = wanted
            return shadow
        before = self._before
        if before is None or before.embeddings.version != name:
            return None
        self._before = None
        before.record = wanted
        return before

    def _begun(self, wanted: ModelVersion | None) -> _Beside:
        """Loads a version, without any room yet: it must catch up on all. Raises VersionError."""
        model = None
        if wanted is not None:
            with self._timed("load"):
                model = self._load(wanted)
            with self._tables.lock:
                check_fits(model, self._rooms)
        with self._tables.lock:
            embeddings = self._rooms.embeddings_under(model)
            return _Beside(embeddings, self._rooms.follow(all_rooms=True), wanted)

    def _embed(self, beside: _Beside, most: int) -> None:
        """Embeds rooms that it must catch up on, at most `most`."""
        with self._tables.lock:
            slots = [beside.behind.pop() for _ in range(min(most, len(beside.behind)))]
            snapshots = [snapshot for slot in slots if (snapshot := self._rooms.by_slot.get(slot)) is not None]
            gone = [slot for slot in slots if slot not in self._rooms.by_slot]
        beside.embeddings.index.clear(np.array(gone, np.int64))
        states = [snapshot.state for snapshot in snapshots]
        if states and (self._rooms.dimension or beside.embeddings.model is not None):
            slots_N = np.array([snapshot.slot for snapshot in snapshots], np.int64)
            beside.embeddings.put(slots_N, states, self._rooms.content(states))

    def _flip(self, beside: _Beside) -> bool:
        """Embeds the last rooms and flips, in one hold of the lock. False where too many rooms changed since."""
        rooms = self._rooms
        with self._tables.lock:
            began_s = time.perf_counter()
            if len(beside.behind) > LAST:
                return False
            self._embed(beside, LAST)
            rooms.unfollow(beside.behind)
            if self._before is not None:
                rooms.unfollow(self._before.behind)
            self._before = _Beside(rooms.embeddings, rooms.follow(all_rooms=False), self._in_force)
            rooms.force(beside.embeddings)
            self._in_force = beside.record
            took_s = time.perf_counter() - began_s
        self._metrics.observe("swap_seconds", took_s, stage="flip")
        self._metrics.gauge("model_version", 0.0 if beside.record is None else beside.record.at_ms / 1000)
        return True

    def _refuse(self, wanted: ModelVersion | None, err: Exception) -> None:
        is_news = str(err) != self._reason
        self._refused, self._refused_ms, self._reason = wanted, self._clock.now_ms(), str(err) or type(err).__name__
        self._metrics.count("swaps_total", outcome="refused" if isinstance(err, TidecastError) else "failed")
        if is_news:
            said = "models: %s is refused, and %s answers on: %s"
            LOGGER.error(
                said, _name(wanted), self._rooms.embeddings.version, err, exc_info=not isinstance(err, TidecastError)
            )

    def _timed(self, stage: str) -> _Timed:
        return _Timed(self._metrics, stage)


class _Timed:
    """A context that observes how long a stage takes."""

    def __init__(self, metrics: Metrics, stage: str) -> None:
        self._metrics = metrics
        self._stage = stage

    def __enter__(self) -> None:
        self._began_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._metrics.observe("swap_seconds", time.perf_counter() - self._began_s, stage=self._stage)


def _name(wanted: ModelVersion | None) -> str:
    return wanted.version if wanted is not None else V0
