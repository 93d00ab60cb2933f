"""Tests of deploy.demo.control with deploy.console.control: who is killed, who is not, and when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from deploy.console import control as console_side
from deploy.console.control import GONE, Control, Recovery, follow
from deploy.demo.control import DemoControl
from deploy.http.client import NotUp
from deploy.http.status import Post, SystemStatus
from streaming.clock import ManualClock
from tests.unit.deploy.console.console_world import MemoryApi, as_api


def status(*pids: int, **detail: object) -> SystemStatus:
    posts = [Post(name="encoder", rank=at, pid=pid, node="n", at_ms=1, detail=detail) for at, pid in enumerate(pids)]
    return SystemStatus(at_ms=1, processes=posts)


@contextlib.contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with sleeper() as process:
        yield process


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with sleeper() as process:
        yield process


def killed(shown: SystemStatus, *pids: int) -> tuple[list[str], list[int]]:
    """What the demo says to each request, and which pids it was told of."""
    told: list[int] = []
    with contextlib.closing(DemoControl(lambda: shown, told.append)) as demo:

        async def ask() -> list[str]:
            control = Control(demo.theirs)
            return [await control.kill(pid) for pid in pids]

        return asyncio.run(ask()), told


def test_a_process_that_posts_is_killed_and_no_other(
    victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    said, told = killed(status(victim.pid), bystander.pid, victim.pid)
    assert said == [f"pid {bystander.pid} is no process of this demo any more", ""]
    assert told == [victim.pid]
    assert bystander.poll() is None
    assert victim.wait(10) == -signal.SIGKILL
    assert killed(status(victim.pid), victim.pid)[0] == [f"pid {victim.pid} has ended"]


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b'{"kill": "1"}', b'{"stop": 1}'])
def test_what_is_no_request_kills_nobody(line: bytes) -> None:
    told: list[int] = []
    with contextlib.closing(DemoControl(lambda: status(1), told.append)) as demo:
        demo.theirs.sendall(line + b"\n")
        assert demo.theirs.recv(1_000) == b'{"refused": "not a request"}\n'
    assert told == []


def test_a_system_that_is_not_up_says_so() -> None:
    def away() -> SystemStatus:
        raise NotUp("nothing answers")

    with contextlib.closing(DemoControl(away, lambda _: None)) as demo:
        assert asyncio.run(Control(demo.theirs).kill(7)) == "nothing answers"


def test_a_demo_that_is_gone_is_said() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        assert asyncio.run(Control(theirs).kill(7)) == GONE


class Obedient:
    """A demo that kills whom it is asked to, in words."""

    def __init__(self, refused: str) -> None:
        self.refused = refused

    async def kill(self, _pid: int) -> str:
        return self.refused


def followed(statuses: list[SystemStatus | None], refused: str = "") -> list[Recovery]:
    """The steps of a recovery; each status is what is seen 250 ms after the one before, None: nobody says."""
    clock, api, looks = ManualClock(), MemoryApi(), iter(statuses)
    last = statuses[-1] if statuses else None

    async def shown() -> SystemStatus:
        clock.advance(250)
        now = next(looks, last)
        if now is None:
            raise NotUp("away")
        return now

    api.status = shown  # type: ignore[method-assign]

    async def main() -> list[Recovery]:
        post = status(10).processes[0]
        return [step async for step in follow(as_api(api), Obedient(refused), clock, post)]  # type: ignore[arg-type]

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_side, "LOOK_EVERY_S", 0)


def test_the_clock_ends_when_the_successor_is_ready() -> None:
    steps = followed([status(10), None, status(11, ready=False), status(11, ready=True)])
    assert [(step.killed, step.pid, step.ended) for step in steps] == [
        (True, None, False), (True, 11, False), (True, 11, True),
    ]  # fmt: skip
    assert steps[-1].came_ms is not None
    assert steps[-1].works_ms is not None
    assert steps[-1].came_ms < steps[-1].works_ms


def test_a_refusal_and_nobody_who_comes_are_said() -> None:
    (only,) = followed([], refused="pid 10 has ended")
    assert (only.killed, only.failure) == (False, "pid 10 has ended")
    assert "no other process has taken its place" in followed([status(10)])[-1].failure
