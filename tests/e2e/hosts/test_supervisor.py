"""Tests of the supervisor with a host of one process. No network, no Ray."""

from __future__ import annotations

import subprocess

from tests.e2e.hosts.supervisor import Supervisor
from tests.e2e.running import await_true


class OneProcess:
    """A host that runs one process, and counts how often it was cleared."""

    def __init__(self) -> None:
        self.runs: list[subprocess.Popen[bytes]] = []
        self.cleared: list[int] = []  # how many runs there had been

    def start(self) -> subprocess.Popen[bytes]:
        self.runs.append(subprocess.Popen(["sleep", "60"]))
        return self.runs[-1]

    def kill(self) -> None:
        for process in self.runs:
            process.kill()
            process.wait()
        self.cleared.append(len(self.runs))


def test_what_ends_is_cleared_and_started_again_until_the_supervisor_is_halted() -> None:
    host = OneProcess()
    supervisor = Supervisor("host", host, host.start, restart_s=0.01)
    supervisor.start()
    for run in (1, 2):
        await_true("a run", lambda run=run: len(host.runs) == run)
        host.runs[-1].kill()
    await_true("a third run", lambda: len(host.runs) == 3)
    assert host.cleared == [1, 2]

    supervisor.halt()
    assert host.runs[-1].poll() is None, "what it started lives on"
    host.runs[-1].kill()
    host.runs[-1].wait()
    assert not supervisor.is_alive()
    assert len(host.runs) == 3
