"""The Trainer: makes versions periodically while the system runs, from the archive, and puts good ones live.

Never answers. A failure is logged, counted, and tried again the next time; the live version stays. One Trainer at a
time works on a Kafka, of whatever host or installation: it has a lease (streaming/log/lease.py). Others wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.rooms.encoder_client import Encoded
from deploy.config.settings import Settings
from streaming.clock import Clock
from streaming.errors import EncoderError, LogError, TidecastError
from streaming.log.lease import Lease
from streaming.log.log import Log
from streaming.log.topics import MODELS
from streaming.log.watched_log import TurnCounter
from streaming.metrics import Metrics
from training.registry.registry import Registry

LOGGER = logging.getLogger(__name__)

GROUP = "trainers"  # of the lease: its only member is the Trainer that works
LEASE = "trainer-0"
LEASE_SESSION_S = 30.0  # a busy machine may stop a Trainer for seconds, and nothing waits for its successor
LOOK_S = 5.0  # between two looks whether another Trainer still has the lease
BEAT_S = 1.0
KEPT = 5  # versions of each state that are not live: enough to go back, and the disk does not fill
ENCODE_TIMEOUT_S = 120.0  # for a block of texts, beside those of live rooms
BLOCK = 16  # texts asked for at a time: live rooms wait for one block at most
SOON_S = 10.0  # after a run that found too few examples


class AsksEncoder(Protocol):
    """A client of the Encoder, for the Trainer."""

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        """Submits texts; the future gets their vectors by this encoder, "" for the one that rooms are read with."""


class SharedEncoder:
    """The Encoder of the running system, in the form that training/content/encode_missing.py needs.

    It is one encoder from first to last, also where rooms are to be read with another meanwhile.
    """

    def __init__(self, encoder: AsksEncoder) -> None:
        """Asks for the encoder that rooms are to be read with. Raises EncoderError: it does not answer."""
        self._encoder = encoder
        self.version = ""
        first = self._ask(["what is on"])
        self.version = first.version
        self.dimension = int(first.vectors.shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """The vectors of texts, float16 [N, D]. Raises EncoderError."""
        parts = [self._ask(list(texts[start : start + BLOCK])) for start in range(0, len(texts), BLOCK)]
        if any(part.version != self.version for part in parts):
            raise EncoderError(f"asked for vectors of the encoder {self.version}, others came; try again")
        return np.concatenate([part.vectors for part in parts])

    def _ask(self, texts: Sequence[str]) -> Encoded:
        try:
            return self._encoder.submit(texts, self.version).result(ENCODE_TIMEOUT_S)
        except Exception as err:
            raise EncoderError(f"the encoder does not answer: {err}") from err


def trainers_lease(log: Log) -> Lease:
    """The lease that a Trainer has while it works."""
    return Lease(log, MODELS, GROUP, LEASE)


@dataclass(slots=True)
class TrainerState:
    """The state of the Trainer, for `tidecast status`."""

    doing: str = "waiting"
    version: str = ""
    outcome: str = ""
    reason: str = ""


class Trainer:
    """The Trainer's loop. It beats during a run: runs may take hours, and Ray Train watches their workers.

    A beat also keeps the lease. A Trainer that has lost it changes nothing in the registry, and waits until it has it
    again. It is never acquired during a run: another Trainer may have worked meanwhile, so what was learned is old.
    """

    def __init__(
        self,
        settings: Settings,
        encoder: AsksEncoder,
        registry: Registry,
        lease: Lease,
        *,
        metrics: Metrics,
        clock: Clock,
        turn_counter: TurnCounter,
    ) -> None:
        """registry: guarded by the lease."""
        self._settings, self._encoder, self._registry, self._lease = settings, encoder, registry, lease
        self._metrics, self._clock, self._turn_counter = metrics, clock, turn_counter
        self._state = TrainerState()
        self._looked_s = float("-inf")

    def state(self) -> TrainerState:
        """The state as of now."""
        return self._state

    def run(self, stop: threading.Event) -> None:
        """Makes versions until `stop`; a run that is under way then ends with the process."""
        config = self._settings.training
        pause_s = config.first_s or config.every_s
        try:
            while not self._rest(stop, pause_s):
                pause_s = config.every_s if self._once() else min(SOON_S, config.every_s)
        finally:
            self._lease.release()

    def began(self, stage: str) -> None:
        """Takes the progress of a run. Raises Fenced, LogUnavailable: it would be for nothing to go on."""
        self._lease.require()
        self._state.doing = stage

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        """Takes the progress of a run."""
        self._state.doing = f"examples: {examples:,} of {records:,} records"

    def encoded(self, done: int, total: int) -> None:
        """Takes the progress of a run."""
        self._state.doing = f"encoding: {done:,} of {total:,} texts"

    def transferred(self, done: int, total: int) -> None:
        """Takes the progress of a run."""
        self._state.doing = f"keeping the run in the store: {done:,} of {total:,} bytes"

    def learned(self, said: Mapping[str, Any]) -> None:
        """Takes the progress of a run."""
        self._state.doing = f"learning: {said['phase']} {said['step']}/{said['steps']}"

    def _once(self) -> bool:
        """Makes one version; whether there is one now, live or refused."""
        over = threading.Event()
        threading.Thread(target=self._beat, args=(over,), name="trainer-beat", daemon=True).start()
        try:
            return self._make()
        except TidecastError as err:
            self._state.outcome, self._state.reason = "failed", str(err)
            self._metrics.count("trainings_total", outcome="failed")
            LOGGER.warning("training: %s", err)
            return False
        finally:
            self._state.doing = "waiting"
            over.set()

    def _make(self) -> bool:
        # takes a second of processor time, mostly for torch: not while the system starts
        from deploy.train.encoder_folder import folder_of_encoder  # noqa: PLC0415
        from deploy.train.run import archived, parent_of, train  # noqa: PLC0415
        from training.fit.run import alone, cannot_go_on  # noqa: PLC0415
        from training.fit.runs import Runs  # noqa: PLC0415

        settings, registry = self._settings, self._registry
        config = settings.training.below(Path.cwd())
        folder = Path(config.folder)
        with alone(folder), Runs(folder, config.checkpoints) as runs, self._metrics_of_run():
            encoder, parent = SharedEncoder(self._encoder), parent_of(registry)
            if parent is not None and (why := cannot_go_on(parent.manifest, encoder.version)):
                LOGGER.warning("training: %s, so it begins anew", why)
                parent = None
            source = archived(settings, rebuild=parent is None)
            trained = train(settings, source, encoder, self, self._clock, runs=runs, parent=parent)
            registry.publish(trained.bundle, folder_of_encoder(settings, encoder.version))
            verdict = registry.promote(trained.bundle.manifest.version, trained.gate)
            runs.over()
            registry.prune(KEPT)
        state = self._state
        state.version, state.reason = trained.bundle.manifest.version, verdict.reason
        state.outcome = "live" if verdict.passed else "refused"
        self._metrics.count("trainings_total", outcome=state.outcome)
        LOGGER.info("training: %s from %d visits: %s", state.version, trained.visits, verdict.reason)
        return True

    def _metrics_of_run(self) -> _Timed:
        return _Timed(self._metrics, self._clock)

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT_S):
            self._turn_counter.count_turn()
            self._lease.keep()

    def _rest(self, stop: threading.Event, seconds: float) -> bool:
        """Rests so long, and until this process has the lease; whether it was stopped meanwhile."""
        until_s = self._clock.monotonic_s() + seconds
        while not stop.is_set():
            self._turn_counter.count_turn()
            has_lease = self._lease.keep() or self._acquired()
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0 and has_lease:
                return False
            stop.wait(min(BEAT_S, left_s) if left_s > 0 else BEAT_S)
        return True

    def _acquired(self) -> bool:
        """Looks from time to time whether this process can have the lease; whether it has it now."""
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s < LOOK_S:
            return False
        try:
            has_lease, holder = self._lease.acquire(), self._lease.holder
        except LogError as err:
            self._looked_s = now_s
            self._state.doing = f"waiting for the log: {err}"
            return False
        if holder is not None:
            self._looked_s = now_s
            self._state.doing = f"waiting for another Trainer, which works on {holder.host}, to end"
        else:
            self._state.doing = "waiting"
        return has_lease


class _Timed:
    """A context that observes how long a run takes."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock

    def __enter__(self) -> None:
        self._began_s = self._clock.monotonic_s()

    def __exit__(self, *_: object) -> None:
        self._metrics.gauge("training_seconds", self._clock.monotonic_s() - self._began_s)
