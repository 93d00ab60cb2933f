"""Worker processes of one or two installations on a real Kafka, and who of them has which name."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streaming.broker import KafkaLog
from streaming.log.log import LiveMember
from streaming.patience import Patience

SETTLE_S = 60.0  # on a free machine; some seconds are enough on a fast one
GROUPS = {"room": "room-workers", "profile": "profile-workers"}
STOP_S = 60.0


class WorkerProcess:
    """One worker's process."""

    def __init__(self, kind: str, servers: str, prefix: str, member: str, *options: str) -> None:
        self.kind, self.member = kind, member
        command = [sys.executable, "-m", "tests.worker_process", kind, servers, prefix, "--member", member, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def rename(self, member: str) -> None:
        """Gives it another name in its group."""
        self.member = member
        assert self.process.stdin is not None
        self.process.stdin.write(f"{member}\n".encode())
        self.process.stdin.flush()

    def stop(self) -> None:
        """Ends it as Serve does; it must end well."""
        self.process.terminate()
        assert self.process.wait(STOP_S) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


@contextmanager
def installation(servers: str, prefix: str, room_workers: int) -> Iterator[list[WorkerProcess]]:
    """Room workers and a profile worker, as one installation has them; killed at the end."""
    workers = [WorkerProcess("room", servers, prefix, str(rank)) for rank in range(room_workers)]
    workers.append(WorkerProcess("profile", servers, prefix, "0"))
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()


class Names(threading.Thread):
    """Notes which processes have had a name, in order, by their ids in the group."""

    def __init__(self, log: KafkaLog, names: Sequence[tuple[str, str]]) -> None:
        """names: the kind of the worker, and its name."""
        super().__init__(name="names", daemon=True)
        self._log = log
        self._halt = threading.Event()
        self.seen: dict[tuple[str, str], list[str]] = {name: [] for name in names}

    def __enter__(self) -> Names:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self.join()

    def run(self) -> None:
        while not self._halt.wait(0.1):
            for (kind, name), seen in self.seen.items():
                member = self._log.member(GROUPS[kind], name)
                if member is not None and seen[-1:] != [member.id]:
                    seen.append(member.id)


def owners(log: KafkaLog, kind: str, names: Sequence[str]) -> list[LiveMember]:
    """The processes that have these names and partitions now."""
    members = [log.member(GROUPS[kind], name) for name in names]
    return [member for member in members if member is not None and member.partitions]


def await_owners(log: KafkaLog, kind: str, names: Sequence[str], *, other_than: Sequence[LiveMember] = ()) -> None:
    """Waits until each name has a process with partitions, none of them one of `other_than`."""
    before = {member.id for member in other_than}

    def settled() -> bool:
        found = owners(log, kind, names)
        return len(found) == len(names) and not before & {member.id for member in found}

    await_true(settled, f"{kind} workers {', '.join(names)} have their partitions")


def await_true(holds: object, what: str) -> None:
    """Waits until it holds; fails with `what`."""
    patience = Patience(SETTLE_S)
    while not holds():  # type: ignore[operator]
        assert not patience.is_over(), f"not so in time: {what}"
        time.sleep(0.1)
