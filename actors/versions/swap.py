"""The change of the version that answers: load, embed the rooms, warm up, flip. Never answers, never trains.

The version in force is one reference of the room table, and so is the content space in use. Another is built in this
thread, in slices, without the tables' lock, and so is the space of its encoder where that is another. Rooms that change
meanwhile are journalled and taken in again. Then the lock is held for the last few rooms and the flip of both. No
request waits for longer than that, and none sees half a version, or two spaces.

A version waits until its encoder has read nearly all rooms. One that cannot be loaded or gives no numbers is refused.
The one in force goes on in either case. The version before stays loaded, so that a return to it embeds only rooms that
changed since. A version that fails requests gives way to the one before, until it is announced again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from actors.spaces.content_space import ContentSpace
from actors.state.circuit_breaker import CircuitBreaker
from actors.state.room_embeddings import LiveEmbeddings
from actors.state.table_reader import Tables
from actors.versions.beside import Beside, EmbeddingsBeside, SpaceBeside
from actors.versions.compatibility import Readings, check_dimension, readings
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
REST_MS = 5_000  # once enough rooms are read, the rest is waited for until for so long it has not become less
LOOK_MS = 1_000  # between looks at which encoders have read the rooms: 1 ms of work, and nobody waits for much longer

Load = Callable[[ModelVersion], ServedVersion]
Warm = Callable[[LiveEmbeddings], None]
Shadow = Callable[[LiveEmbeddings | None], None]


@dataclass(frozen=True, slots=True)
class SwapStatus:
    """The version that answers here and the one that should, and why it does not yet; "" if it does.

    refused: what is wrong with it. waits: for what it waits, with nothing wrong.
    """

    version: str
    wanted: str
    refused: str
    waits: str = ""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A version that was loaded and waits for its encoder."""

    record: ModelVersion
    model: ServedVersion


class _Enough(NamedTuple):
    """A version whose encoder has read enough of the rooms: the most so far, as a share, and since when."""

    version: ModelVersion
    share: float
    since_ms: int


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
        self._before: EmbeddingsBeside | None = None
        self._shadow: EmbeddingsBeside | None = None
        self._loaded: dict[str, _Loaded] = {}  # by version
        self._looked_ms: dict[str, int] = {}  # when which encoders have read the rooms was looked at, by what for
        self._unfit: ModelVersion | None = None  # a candidate that could not be loaded
        self._looked_at: ModelVersion | None = None  # the candidate that waits for its encoder
        self._refused: ModelVersion | None = None
        self._refused_ms = 0
        self._reason = ""
        self._waiting: ModelVersion | None = None
        self._waits = ""
        self._enough: _Enough | None = None
        self._passed_over: ModelVersion | None = None  # a version before that cannot stand in
        self.settled = False  # whether the version that was live when the tables were read answers, waits or is refused

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
        """Puts the wanted version in force, if it is another one. Blocks until it answers, waits or is refused."""
        self._give_way(stop)
        wanted = self._tables.wanted
        if _name(wanted) == self._rooms.embeddings.version:
            self._reason, self._in_force = "", wanted
            self._wait_no_more()
        elif not self._has_failed(wanted) and not self._rests(wanted):
            self._go_to(wanted, stop)
        if self._rooms.embeddings.model is None and self._is_time("space"):
            self._follow_rooms(stop)

    def _rests(self, wanted: ModelVersion | None) -> bool:
        """Whether a version was tried a moment ago."""
        if wanted is None:
            return False
        if wanted is self._refused:
            return self._clock.now_ms() - self._refused_ms < RETRY_MS
        return wanted is self._waiting and not self._is_time("version")

    def _go_to(self, wanted: ModelVersion | None, stop: threading.Event) -> None:
        """Puts a version in force, or says why not."""
        began_s, was = time.perf_counter(), self._rooms.embeddings.version
        try:
            beside = self._ready(wanted)
            if beside is None:
                self._stand_in(wanted, stop)
                return
            self._swap(beside, wanted, stop)
        except _GivenUp:
            return
        except Exception as err:  # whatever a version does, the one in force goes on
            self._refuse(wanted, err)
            return
        took_s = time.perf_counter() - began_s
        self._reason, self._refused = "", None
        self._wait_no_more()
        self._metrics.count("swaps_total", outcome="live")
        self._metrics.observe("swap_seconds", took_s, stage="total")
        LOGGER.info("models: %s answers in the place of %s, after %.0f ms", _name(wanted), was, took_s * 1000)

    def _follow_rooms(self, stop: threading.Event) -> None:
        """Has the baseline ranker go on in another encoder's space where the rooms have gone there."""
        encoder = readings(self._tables).better_than(self._rooms.encoder)
        if not encoder:
            return
        was = self._rooms.encoder
        try:
            self._swap(self._begun(None, None, encoder), self._tables.wanted, stop)
        except _GivenUp:
            return
        except Exception:  # what answers goes on
            LOGGER.exception("models: %s cannot go on with vectors of %s", V0, encoder)
        else:
            LOGGER.info("models: %s goes on with vectors of %s in the place of those of %s", V0, encoder, was)

    def _stand_in(self, wanted: ModelVersion | None, stop: threading.Event) -> None:
        """In a replica without any version yet, has the one before the wanted one answer until that fits.

        The replicas that were there before answer by it too.
        """
        record = next((entry.record for entry in self._tables.versions if entry.state == "before"), None)
        if record is None or record.version == V0 or record is self._passed_over or self._has_failed(record):
            return
        if self._rooms.embeddings.model is not None:
            return
        found = readings(self._tables)
        if record.encoder and not found.fit(record.encoder):
            return
        try:
            model = self._model(record)
            check_dimension(model, found)
            if found.fit(model.encoder_version):
                self._swap(self._begun(model, record), wanted, stop)
                LOGGER.info("models: %s answers while %s waits", record.version, _name(wanted))
        except _GivenUp:
            return
        except Exception as err:  # version 0 goes on
            self._passed_over = record
            LOGGER.warning("models: %s does not answer while %s waits: %s", record.version, _name(wanted), err)

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
            if is_new and not self._has_read(candidate):
                return
            shadow = self._shadow = self._shadow or self._begun(self._model(candidate), candidate)
            self._catch_up(shadow, self._tables.wanted, stop)
            if is_new:
                self._show(shadow.embeddings)
        except _GivenUp:
            return
        except Exception as err:  # a candidate is nobody's answer
            self._unfit = candidate
            self._drop_shadow()
            LOGGER.warning("models: the candidate %s is not scored in the shadow: %s", _name(candidate), err)

    def _has_read(self, candidate: ModelVersion) -> bool:
        """Whether a candidate's encoder has read the rooms. Raises VersionError: it does not fit them."""
        if candidate is self._looked_at and not self._is_time("candidate"):
            return False
        self._looked_at = candidate
        model, found = self._model(candidate), readings(self._tables)
        check_dimension(model, found)
        return found.fit(model.encoder_version)

    def _drop_shadow(self) -> None:
        shadow, self._shadow = self._shadow, None
        if self._show is not None:
            self._show(None)
        if shadow is not None:
            with self._tables.lock:
                shadow.drop()

    def status(self) -> SwapStatus:
        """The status as of now."""
        return SwapStatus(self._rooms.embeddings.version, _name(self._tables.wanted), self._reason, self._waits)

    def _give_way(self, stop: threading.Event) -> None:
        """Returns to the version before if the one in force fails requests; to v0 if that one did too, or fits not."""
        failing = self._rooms.embeddings.version
        why = self._failures.beyond_use(failing) if self._failures is not None else ""
        if self._failures is None or not why:
            return
        before = self._before
        if before is not None and not self._has_failed(before.record) and self._fits(before):
            self._before = None
        else:
            before = self._begun(None, None)
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
        self._wait_no_more()
        self._metrics.count("swaps_total", outcome="back")
        LOGGER.error("models: %s gives way to %s: %s", failing, before.embeddings.version, why)

    def _has_failed(self, record: ModelVersion | None) -> bool:
        """Whether this announcement of a version has given way."""
        return record is not None and self._failed.get(record.version) is record

    def _fits(self, kept: EmbeddingsBeside) -> bool:
        """Whether a version kept beside can answer at once."""
        encoder = kept.embeddings.encoder
        if encoder == self._rooms.encoder:
            return True
        return kept.record is not None and readings(self._tables).fit(encoder)

    def _swap(self, beside: EmbeddingsBeside, wanted: ModelVersion | None, stop: threading.Event) -> None:
        """Puts embeddings in force, and their encoder's space in use.

        Raises _GivenUp where another version than `wanted` is announced meanwhile.
        """
        encoder, parts = beside.embeddings.encoder, [cast("Beside", beside)]
        space = None if encoder == self._rooms.encoder else SpaceBeside(self._tables, encoder)
        if space is not None:
            parts.insert(0, space)
        try:
            with self._timed("embed"):
                for part in parts:
                    self._catch_up(part, wanted, stop)
                self._fit(beside, self._rooms.space if space is None else space.space)
            with self._timed("warm"):
                self._warm(beside.embeddings)
            while not self._flip(beside, space, parts):
                for part in parts:
                    part.step(SLICE)
        except BaseException:
            with self._tables.lock:
                for part in parts:
                    part.drop()
            raise

    def _catch_up(self, beside: Beside, wanted: ModelVersion | None, stop: threading.Event) -> None:
        while beside.left > LAST:
            began_s = time.perf_counter()
            beside.step(SLICE)
            if stop.wait(max(PAUSE_S, time.perf_counter() - began_s)) or self._tables.wanted is not wanted:
                raise _GivenUp

    def _fit(self, beside: EmbeddingsBeside, space: ContentSpace) -> None:
        """Fits embeddings to the rooms of the space before they are in force: it takes a tenth of a second.

        Rooms that change meanwhile are in the journal, and embedded again.
        """
        if beside.embeddings.is_due(len(self._rooms)):
            with self._tables.lock:
                slots_N = self._rooms.slots()
            beside.embeddings.fit(slots_N, space.vectors_ND)

    def _ready(self, wanted: ModelVersion | None) -> EmbeddingsBeside | None:
        """The wanted version, to be swapped for the one in force; None while it waits. Raises VersionError."""
        kept = self._kept(wanted)
        model = None if kept is None else kept.embeddings.model
        if wanted is not None:
            model = model or self._model(wanted)
            found = readings(self._tables)
            check_dimension(model, found)
            if not found.are_current(model.encoder_version) or (
                kept is None and self._waits_for_rest(wanted, model.encoder_version, found)
            ):
                self._wait(wanted, model.encoder_version, found)
                return None
        if kept is None:
            return self._begun(model, wanted)
        if kept is self._before:
            self._before = None
        elif self._show is not None:
            self._shadow = None
            self._show(None)
        kept.record = wanted
        return kept

    def _waits_for_rest(self, wanted: ModelVersion, encoder: str, found: Readings) -> bool:
        """Whether the few rooms that another encoder has left to read are to be waited for, since they become fewer.

        They would be without content in answers. How fast they are read depends on the machine. Not on a way back,
        which is taken at once.
        """
        now_ms, share, enough = self._clock.now_ms(), found.share(encoder), self._enough
        if encoder == self._rooms.encoder or share == 1.0:
            return False
        if enough is None or enough.version is not wanted or share > enough.share:
            enough = self._enough = _Enough(wanted, share, now_ms)
        return now_ms - enough.since_ms < REST_MS

    def _kept(self, wanted: ModelVersion | None) -> EmbeddingsBeside | None:
        """The version before or the one in the shadow if it is the wanted one, else None."""
        for kept in (self._shadow, self._before):
            if kept is not None and kept.embeddings.version == _name(wanted):
                # the baseline ranker answers with whatever vectors are in use
                return kept if wanted is not None or kept.embeddings.encoder == self._rooms.encoder else None
        return None

    def _model(self, record: ModelVersion) -> ServedVersion:
        """A version's model, loaded once for as long as it is wanted or a candidate. Raises VersionError."""
        loaded = self._loaded.get(record.version)
        if loaded is None or loaded.record is not record:
            with self._timed("load"):
                loaded = _Loaded(record, self._load(record))
        kept = [one for one in self._loaded.values() if one.record in (self._tables.wanted, self._tables.candidate)]
        self._loaded = {one.record.version: one for one in (*kept, loaded)}
        return loaded.model

    def _wait(self, wanted: ModelVersion, encoder: str, found: Readings) -> None:
        self._reason, self._refused = "", None
        percent, now = (int(100 * found.share_of(counted, encoder)) for counted in (found.read, found.current))
        self._waits = f"waits for the encoder {encoder}: {percent} % of the live rooms have its vectors"
        if now < percent:
            self._waits += f", {now} % with what is said now"
        if self._waiting is not wanted:
            LOGGER.info("models: %s %s; %s answers on", wanted.version, self._waits, self._rooms.embeddings.version)
        self._waiting = wanted
        self._looked_ms["version"] = self._clock.now_ms()

    def _wait_no_more(self) -> None:
        self._waiting, self._waits, self._enough = None, "", None

    def _is_time(self, what: str) -> bool:
        """Whether it is time to look at the rooms again. True counts as looked."""
        now_ms = self._clock.now_ms()
        if 0 <= now_ms - self._looked_ms.get(what, -LOOK_MS) < LOOK_MS:
            return False
        self._looked_ms[what] = now_ms
        return True

    def _begun(
        self, model: ServedVersion | None, record: ModelVersion | None, encoder: str | None = None
    ) -> EmbeddingsBeside:
        """A version without any room yet: it must catch up on all. encoder: for the baseline ranker elsewhere."""
        with self._tables.lock:
            if model is not None:
                encoder = model.encoder_version
            embeddings = self._rooms.embeddings_under(model, self._rooms.encoder if encoder is None else encoder)
            beside = EmbeddingsBeside(self._tables, embeddings, record)
        if record is not None:
            self._loaded.pop(record.version, None)
        return beside

    def _flip(self, beside: EmbeddingsBeside, space: SpaceBeside | None, parts: Sequence[Beside]) -> bool:
        """Takes in the last rooms and flips, in one hold of the lock. False where too many rooms changed since."""
        rooms = self._rooms
        with self._tables.lock:
            began_s = time.perf_counter()
            if any(part.left > LAST for part in parts):
                return False
            for part in parts:
                part.step(LAST)
                part.drop()
            ours, left = rooms.embeddings, rooms.space
            if ours.version != beside.embeddings.version:
                if self._before is not None:
                    self._before.drop()
                self._before = EmbeddingsBeside(self._tables, ours, self._in_force, has_rooms=True)
            rooms.force(beside.embeddings, None if space is None else space.space, self._clock.now_ms())
            self._in_force = beside.record
            took_s = time.perf_counter() - began_s
        del left  # a space that is in use no longer goes without the lock: to free 10,000 rooms takes milliseconds
        self._metrics.observe("swap_seconds", took_s, stage="flip")
        self._metrics.gauge("model_version", 0.0 if beside.record is None else beside.record.at_ms / 1000)
        return True

    def _refuse(self, wanted: ModelVersion | None, err: Exception) -> None:
        is_news = str(err) != self._reason
        self._wait_no_more()
        if wanted is not None:
            self._loaded.pop(wanted.version, None)
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
