"""Two whole installations on one Kafka: an upgrade, its rollback, and an upgrade that stays, under steady questions.

Each installation is a Ray cluster of its own in network namespaces, a head without replicas and a host with all of
them. Callers are sent where a Kubernetes Service would send them: to each host that is ready and is not being deleted.
An installation is deleted as KubeRay does it: the hook of its pods (deploy/k8s/pods.py), SIGTERM, SIGKILL.

    python -m tests.e2e.hosts.upgrade [--seconds 180] [--write docs/reliability.md]

Ends with 1 where a promise was broken: a failed request, an ended room, another state. Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streaming.simulated.simulate import Platform
from tests.appends import Appends
from tests.e2e.hosts import cluster, network
from tests.e2e.hosts.asker import Asker
from tests.e2e.hosts.cluster import PORTS, Cluster
from tests.e2e.hosts.deletion import delete
from tests.e2e.hosts.outcome_table import replace_between
from tests.e2e.hosts.probes import Probes
from tests.e2e.hosts.service import Service
from tests.e2e.hosts.trial import PLATFORM
from tests.e2e.running import Ends, Load, await_true
from tests.e2e.settled import differing_states
from tests.integration.worker_group import Names
from training.content.text_encoder import TextEncoder

OLD, NEW = ("head", "worker1"), ("next", "next1")
NAMES = [("room", "room-worker-0"), ("room", "room-worker-1"), ("profile", "profile-worker-0")]
MARKS = ("<!-- upgrade: begin -->", "<!-- upgrade: end -->")
HEAD = ("phase", "lasted", "requests", "failed", "worst answer", "oldest newest text", "longest standstill")
WELL_S = 180.0
CALM_S = 20.0  # of one installation alone, to compare with
AFTER_S = 30.0  # that a phase lasts on after an installation is gone


@dataclass(frozen=True, slots=True)
class Phase:
    """What callers noticed in one phase. stale_s: the oldest that the newest text of a probe was in an answer."""

    name: str
    lasted_s: float
    requests: int
    failures: Sequence[str]
    worst_s: float
    stale_s: float
    still_s: float

    @property
    def row(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.lasted_s:.0f} s",
            f"{self.requests:,}",
            f"{len(self.failures)}",
            f"{self.worst_s:.2f} s",
            f"{self.stale_s:.1f} s",
            f"{self.still_s:.2f} s",
        )


class Watch:
    """Load, callers and what they notice. A context manager. For one thread."""

    def __init__(self, first: Cluster) -> None:
        self._cluster = first
        self._probes = Probes(first.settings.topics.room_partitions)
        self._ends = Ends(first.log)
        self._appends = Appends(first.log)
        self._platform = Platform(PLATFORM)
        self._loads = [Load(first.log, events) for events in (self._platform, self._probes)]
        self._askers: list[Asker] = []
        self._asked: dict[str, Asker] = {}  # those that ask hosts which are not deleted, by address
        self.names = Names(first.log, NAMES)
        self.service = Service(PORTS["http"])
        self.phases: list[Phase] = []

    def __enter__(self) -> Watch:
        for thread in (self._ends, self._appends, *self._loads, self.names, self.service):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for asker in self._askers:
            asker.halt()
        for load in self._loads:
            if load.is_alive():
                load.halt()
        self.service.halt()
        self.names.__exit__()
        self._ends.halt()
        self._appends.stop()

    def add(self, running: Cluster) -> None:
        """Sends callers to an installation too, once its hosts are ready."""
        addresses = [running.host(name).address for name in running.serving]
        for address in addresses:
            asker = Asker(
                address,
                PORTS["http"],
                self._probes.rooms,
                self._ends,
                lambda at=address: self.service.sends_to(at),
                key=running.settings.http.token,
            )
            self._askers.append(asker)
            self._asked[address] = asker
            asker.start()
        self.service.add(addresses)
        await_true("a ready host", lambda: all(self.service.sends_to(address) for address in addresses), WELL_S)

    def delete(self, gone: Cluster) -> None:
        """Deletes an installation; from the first moment on nobody is sent there."""
        addresses = [gone.host(name).address for name in gone.hosts]
        self.service.delete(addresses)
        delete(gone)
        for address in self._asked.keys() & addresses:
            self._asked.pop(address).halt()
        for file in sorted(gone.folder.glob("*-hook.txt")):
            print(f"    {file.name}: {' '.join(file.read_text().splitlines()[-1].split())}", flush=True)

    def await_fresh(self) -> None:
        """Waits until answers of the last seconds are there and fresh."""

        def fresh() -> bool:
            recent = [one for asker in self._askers for one in asker.since(time.monotonic() - 5.0)]
            return len(recent) > 10 and all(not one.failure and one.stale_ms < 5_000 for one in recent)

        await_true("fresh answers", fresh, WELL_S)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase, which is what happens within it."""
        began_s = time.monotonic()
        yield
        over_s = time.monotonic()
        asked = [one for asker in self._askers for one in asker.since(began_s)]
        done = Phase(
            name,
            over_s - began_s,
            len(asked),
            [f"after {one.began_s - began_s:.1f} s: {one.failure}" for one in asked if one.failure],
            max((one.took_s for one in asked), default=0.0),
            max((one.stale_ms for one in asked if not one.failure), default=0) / 1000,
            self._appends.longest_s(began_s, over_s),
        )
        self.phases.append(done)
        print(f"| {' | '.join(done.row)} |", flush=True)
        for failure in done.failures[:5]:
            print(f"    {failure}", flush=True)

    @property
    def dead(self) -> Sequence[str]:
        """Ended rooms in answers."""
        return [room for asker in self._askers for room in asker.dead]

    def differing(self) -> str:
        """Ends the load, and says how the state differs from that of an undisturbed pass; "" where it does not."""
        for load in self._loads:
            load.halt()
        return differing_states(self._cluster.log, self._cluster.settings, TextEncoder(self._cluster.settings.encoder))


def main() -> int:
    """Runs the phases in order. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0, help="that both installations run together, each time")
    parser.add_argument("--write", type=Path, help="the file whose table is replaced")
    options = parser.parse_args()
    if reason := network.why_not() or cluster.why_not():
        print(f"skipped: {reason}")
        return 0
    print("\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ("---",) * len(HEAD))), flush=True)
    with Cluster(OLD, head_cpus=0) as old, Watch(old) as watch:
        differing = play(old, watch, options.seconds)
        dead, seen = watch.dead, watch.names.seen
    holders = ", ".join(f"{name} {len(ids)}" for (_, name), ids in seen.items())
    ok = not (differing or dead) and not any(phase.failures for phase in watch.phases)
    said = (
        f"Ended rooms in answers: {len(dead)}. State at the end: {differing or 'as of one undisturbed pass'}. "
        f"Processes that had each name, one after the other: {holders}."
    )
    print(said)
    if options.write is not None:
        rows = (HEAD, ("---",) * len(HEAD), *(phase.row for phase in watch.phases))
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        made = f"Made by `make upgrade` on {os.cpu_count()} cores, {platform.system()}:"
        replace_between(options.write, MARKS, f"{made}\n\n{text}\n\n{said}")
    return 0 if ok else 1


def play(old: Cluster, watch: Watch, seconds: float) -> str:
    """An upgrade, its rollback, and an upgrade that stays. Returns how the state differs at the end."""
    upgrade_and_back(old, watch, seconds)
    with Cluster(NEW, head_cpus=0, beside=old) as new:
        with watch.phase("the upgrade once more"):
            watch.add(new)
            time.sleep(CALM_S)
        with watch.phase("the old one is deleted"):
            watch.delete(old)
            time.sleep(AFTER_S)
        with watch.phase("the new one alone"):
            time.sleep(CALM_S)
        return watch.differing()


def upgrade_and_back(
    old: Cluster, watch: Watch, seconds: float, calm_s: float = CALM_S, after_s: float = AFTER_S
) -> None:
    """One installation; a new one comes, works beside it for some seconds, and is deleted again."""
    watch.add(old)
    watch.await_fresh()
    with watch.phase("one installation"):
        time.sleep(calm_s)
    with contextlib.ExitStack() as stack:
        with watch.phase("the new one starts and takes over"):
            new = stack.enter_context(Cluster(NEW, head_cpus=0, beside=old))
            watch.add(new)
            time.sleep(calm_s)
        with watch.phase("both, the new one works"):
            time.sleep(seconds)
        with watch.phase("rollback: the new one is deleted, the old one takes over"):
            watch.delete(new)
            time.sleep(after_s)


if __name__ == "__main__":
    sys.exit(main())
