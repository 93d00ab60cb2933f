"""One fault under load, and what users noticed of it. Never decides which faults there are."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streaming.simulated.config import SimulationConfig
from streaming.simulated.simulate import Platform
from tests.e2e.hosts.asker import Asked, Asker
from tests.e2e.hosts.capacity import Capacity
from tests.e2e.hosts.cluster import HOSTS, PORTS, Cluster
from tests.e2e.hosts.faults import Fault, nothing
from tests.e2e.hosts.probes import Probes
from tests.e2e.running import Ends, Load
from tests.e2e.settled import differing_states
from training.content.text_encoder import TextEncoder

PLATFORM = SimulationConfig(
    seed=5, rooms=16, viewers=120, chat_per_room_s=0.3, room_lifetime_s=120.0, topic_s=40.0, visit_s=20.0
)
FRESH_MS = 5_000  # usual are one or two, more while the machine is busy with others
QUIET_S = 8.0  # that all must be well before a fault counts as over
WAIT_S = 240.0  # what is not well by then does not come back by itself, however busy the machine is
START_S = 300.0  # for all to be well before a fault: the one before it may have needed a new host


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fault cost. Times from its beginning, infinite where it did not end.

    requests: those to hosts that live on. course: how long the fault itself lasted, the time of day when it began, then
    what was missing or not fresh.
    """

    fault: str
    requests: int
    failures: Sequence[str]
    worst_s: float
    full_s: float
    fresh_s: float
    dead: Sequence[str]
    elsewhere: Mapping[str, int]  # failures at hosts that were gone or came back, by kind
    differing: str  # rooms and viewers whose state is not that of an undisturbed fold; "" for none
    course: Sequence[str] = ()

    @property
    def keeps_promises(self) -> bool:
        """Whether nobody was failed, no ended room returned, all came back by itself, and the state is right."""
        came_back = math.isfinite(self.full_s) and math.isfinite(self.fresh_s)
        return came_back and not (self.failures or self.dead or self.differing)


class Trials:
    """A cluster under load. A context manager. For one thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ends = Ends(cluster.log)
        self._probes = Probes(cluster.settings.topics.room_partitions)
        self._askers = {
            name: Asker(
                cluster.host(name).address,
                PORTS["http"],
                self._probes.rooms,
                self._ends,
                key=cluster.settings.http.token,
            )
            for name in HOSTS
        }
        self._encoder = TextEncoder(cluster.settings.encoder)  # one: it remembers what it has encoded
        self._capacity = Capacity(cluster, HOSTS)
        self._loads = self._new_loads()
        self._there = {*HOSTS}

    def __enter__(self) -> Trials:
        for thread in (self._ends, *self._loads, self._capacity, *self._askers.values()):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        threads: tuple[Asker | Capacity | Ends, ...] = (*self._askers.values(), self._capacity, self._ends)
        for thread in threads:
            thread.halt()
        self._halt_loads()

    def run(self, fault: Fault) -> Outcome:
        """Waits until all is well, inflicts the fault, waits until all is well again, then compares the state.

        Fails where all is not well before: what is seen afterwards would be of another fault.
        """
        if not any(load.is_alive() for load in self._loads):
            self._loads = self._new_loads()
            for load in self._loads:
                load.start()
        self._capacity.living = sorted(self._there)
        before_s = time.monotonic()
        well = self._await_well(before_s, self._capacity.living, START_S)
        assert math.isfinite(sum(well)), f"not well before {fault.name}: {self._course(before_s, sorted(self._there))}"
        fault = fault.aimed(self._cluster)
        dead_before = {name: len(asker.dead) for name, asker in self._askers.items()}
        left = sorted(self._there - {*fault.gone})
        began_s = time.monotonic()
        self._there = {*left} if fault.stays_away else {*left, *fault.back, *fault.gone}
        self._capacity.living = sorted(self._there)
        with self._ends.outage() if fault.kafka_away else contextlib.nullcontext():
            fault.inflict(self._cluster)
        lasted_s = time.monotonic() - began_s
        well = self._await_well(began_s, left, WAIT_S)
        asked = [one for name in left for one in self._askers[name].since(began_s)]
        failures = [
            f"{name} after {one.began_s - began_s:.1f} s: {one.failure}"
            for name in left
            for one in self._askers[name].since(began_s)
            if one.failure
        ]
        course = [f"lasted {lasted_s:.1f} s", *self._course(began_s, left)]
        away = [one for name in (*fault.gone, *fault.back) for one in self._askers[name].since(began_s)]
        self._halt_loads()
        differing = differing_states(self._cluster.log, self._cluster.settings, self._encoder)
        dead = [one for name in left for one in self._askers[name].dead[dead_before[name] :]]
        outcome = Outcome(
            fault.name,
            len(asked),
            failures,
            max((one.took_s for one in asked), default=0.0),
            *well,
            dead,
            Counter(one.failure[:60] for one in away if one.failure),
            differing,
            course,
        )
        if fault.heal is not nothing:
            fault.heal(self._cluster)
            self._there |= {*fault.gone}
        return outcome

    def _new_loads(self) -> Sequence[Load]:
        self._platform = Platform(PLATFORM)
        return [Load(self._cluster.log, platform) for platform in (self._platform, self._probes)]

    def _halt_loads(self) -> None:
        for load in self._loads:
            if load.is_alive():
                load.halt()
        sink = self._cluster.log.sink()  # else rooms of many faults would crowd the probes out of an answer
        for event in self._platform.close():
            sink.send(event.topic, event.key, event.value)
        sink.flush()
        sink.close()

    def _await_well(self, began_s: float, left: Sequence[str], wait_s: float) -> tuple[float, float]:
        """Waits until capacity is full and answers are fresh: the seconds to each; infinite where not in time."""
        deadline_s = time.monotonic() + wait_s
        while True:
            time.sleep(0.5)
            full_s = max(
                (one.at_s for one in self._capacity.looked if one.missing and one.at_s > began_s), default=began_s
            )
            stale = [one.began_s for name in left for one in self._askers[name].since(began_s) if _is_bad(one)]
            fresh_s = max(stale, default=began_s)
            now_s = time.monotonic()
            looked_s = self._capacity.looked[-1].at_s if self._capacity.looked else 0.0
            seen_s = min(now_s, looked_s)
            if seen_s - max(full_s, fresh_s) > QUIET_S:
                return full_s - began_s, fresh_s - began_s
            if now_s > deadline_s:
                return tuple(at_s - began_s if seen_s - at_s > QUIET_S else math.inf for at_s in (full_s, fresh_s))

    def _course(self, began_s: float, left: Sequence[str]) -> Sequence[str]:
        """The time of day of its beginning, for who reads logs; then what was missing or not fresh, in order."""
        seen = [(one.at_s, one.missing) for one in self._capacity.looked if one.at_s > began_s]
        spans = [_spans(seen, began_s)]
        for name, asker in self._askers.items():
            asked = asker.since(began_s)
            if name in left:
                seen = [(one.began_s, f"{name} not fresh" if _is_bad(one) else "") for one in asked]
            else:
                seen = [(one.began_s, f"{name} does not answer" if one.failure else "") for one in asked]
            spans.append(_spans(seen, began_s))
        began = time.strftime("%H:%M:%S", time.localtime(time.time() - (time.monotonic() - began_s)))
        return [f"began at {began}", *(said for _, said in sorted(itertools.chain(*spans)))]


def _spans(seen: Sequence[tuple[float, str]], began_s: float) -> list[tuple[float, str]]:
    """The stretches in which the same was said, "" left out: when each began, and in words."""
    found = []
    for what, group in itertools.groupby(seen, lambda one: one[1]):
        times = [at_s - began_s for at_s, _ in group]
        if what:
            found.append((times[0], f"{times[0]:.1f} to {times[-1]:.1f} s: {what}"))
    return found


def _is_bad(asked: Asked) -> bool:
    return bool(asked.failure) or asked.stale_ms > FRESH_MS
