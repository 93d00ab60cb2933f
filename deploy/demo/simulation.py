"""The simulated platform played into Kafka: live in this process, or as fast as possible in several. Never draws.

Several processes share one platform: each knows all of it and makes the events of its own share of viewers and
streamers, so that a key's records come from one process and keep their order. They meet after each simulated second.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path
from typing import Any

from streaming.broker import KafkaLog
from streaming.clock import Clock
from streaming.errors import LogError
from streaming.kafka_config import KafkaConfig
from streaming.log.log import Sink
from streaming.recorded.playback import Pace, Played, Timeline, play
from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform

MEETING_TIMEOUT_S = 60.0  # longer than a broker's restart; then another process has failed


@dataclass(frozen=True, slots=True)
class SimulationRun:
    """A simulation to be run. until_ms None: until stopped. ends: the rooms end with the simulation."""

    config: SimulationConfig
    start_ms: int
    until_ms: int | None
    ends: bool
    truth: Path | None


@dataclass(frozen=True, slots=True)
class FastResult:
    """The result of `run_fast`. The time runs from the first event to the last acknowledgement, without the start."""

    events: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class _Meeting:
    """The meeting point of the processes: they wait for each other, learn of the end, and post how much they wrote."""

    barrier: Barrier
    stopped: StopEvent
    counts: Any
    sent: Any  # events so far, per process
    far_s: Any  # the platform's time that the first process has reached


def run_live(
    run: SimulationRun, sink: Sink, clock: Clock, stop: threading.Event, progress: Callable[[Played], None] | None
) -> Played:
    """Plays the platform at real speed until its end or `stop`. Raises what the sink raises."""
    platform = Platform(run.config)
    pace = Pace(clock, Timeline(), stop.wait)
    played = play(platform.events(run.start_ms, run.until_ms), sink, pace, stop, progress)
    _finish(run, platform, sink)
    return played


def run_fast(
    run: SimulationRun,
    kafka: KafkaConfig,
    prefix: str,
    processes: int,
    stop: threading.Event,
    *,
    progress: Callable[[float, Played], None] = lambda _far_s, _played: None,
) -> FastResult:
    """Plays the platform as fast as possible, in several processes. Raises LogError.

    progress: receives how many seconds of the platform's time are written, and how many events.
    """
    context, began_s = multiprocessing.get_context("spawn"), time.monotonic()
    sent, far_s = context.RawArray("q", processes), context.RawValue("d", 0.0)
    meeting = _Meeting(context.Barrier(processes), context.Event(), context.SimpleQueue(), sent, far_s)
    workers = [
        context.Process(target=_share, args=(run, kafka, prefix, share, meeting), daemon=True)
        for share in range(processes)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        if stop.wait(0.05):
            meeting.stopped.set()
        far = far_s.value
        progress(far, Played(sum(sent), run.start_ms + int(far * 1000), time.monotonic() - began_s, 0.0))
        if any(worker.exitcode for worker in workers):
            meeting.stopped.set()
            meeting.barrier.abort()
    if failed := [worker.exitcode for worker in workers if worker.exitcode]:
        raise LogError(f"{len(failed)} of {processes} simulating processes failed; what happened is above")
    events, firsts_s, lasts_s = zip(*(meeting.counts.get() for _ in workers), strict=True)
    return FastResult(sum(events), max(lasts_s) - min(firsts_s))


def _share(run: SimulationRun, kafka: KafkaConfig, prefix: str, share: int, meeting: _Meeting) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the starter, which stops all of them at once
    platform = Platform(run.config, share=share, of=meeting.barrier.parties)
    sink = KafkaLog(kafka.in_bulk(), prefix).sink()
    sent, began_s = 0, time.monotonic()
    for second, tick in enumerate(platform.ticks(run.start_ms, run.until_ms)):
        for event in tick:
            sink.send(event.topic, event.key, event.value)
        sent += len(tick)
        meeting.sent[share] = sent
        if share == 0:
            meeting.far_s.value = second
        try:
            meeting.barrier.wait(MEETING_TIMEOUT_S)
        except threading.BrokenBarrierError:
            break
        if meeting.stopped.is_set():
            meeting.barrier.abort()
            break
    _finish(run, platform, sink)
    meeting.counts.put((sent, began_s, time.monotonic()))


def _finish(run: SimulationRun, platform: Platform, sink: Sink) -> None:
    if run.ends:
        for event in platform.close():
            sink.send(event.topic, event.key, event.value)
    sink.flush()
    sink.close()
    if run.truth is not None and platform.share == 0:
        platform.truth.write(run.truth)
