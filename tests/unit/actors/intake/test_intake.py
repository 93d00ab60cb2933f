"""A request is answered in bounded time and memory, and a repetition joins it, whatever Kafka does meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.intake.intake import Intake, Taken
from actors.settings import IntakeConfig
from streaming.clock import ManualClock
from streaming.errors import KeyReused, LogUnavailable, NotTaken, TooManyWaiting
from streaming.events import ChatMessage
from streaming.log.codec import encode
from streaming.metrics import MemoryMetrics

CLOCK = ManualClock()
SOON = IntakeConfig(timeout_s=0.05)


@dataclass
class Gated:
    """A log whose flushes wait for a gate. written: the values of completed flushes."""

    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    written: list[bytes] = field(default_factory=list)
    pending: list[bytes] = field(default_factory=list)
    fails: bool = False

    def sink(self) -> Gated:
        return self

    def send(self, _topic: str, _key: bytes, value: bytes) -> None:
        self.pending.append(value)

    def flush(self) -> None:
        self.begun.set()
        assert self.gate.wait(10)
        pending, self.pending = self.pending, []
        if self.fails:
            raise LogUnavailable("no broker answers")
        self.written += pending

    def close(self) -> None:
        """Closes."""


@pytest.fixture
def log() -> Iterator[Gated]:
    log = Gated()
    yield log
    log.gate.set()


def chat(text: str) -> bytes:
    return encode(ChatMessage(room="r", viewer="w", text=text, at_ms=CLOCK.now_ms()))


def intake(log: Gated, config: IntakeConfig) -> Intake:
    return Intake(log, config, CLOCK, MemoryMetrics())  # type: ignore[arg-type]


def take(taker: Intake, body: bytes, key: str = "", **options: Any) -> Any:
    return taker.take("chat", body, lambda body: [body], key, **{"packed": False, **options})


async def begun(log: Gated) -> None:
    assert await asyncio.to_thread(log.begun.wait, 10)


def test_a_flush_that_hangs_is_not_known_to_be_written_and_those_behind_it_are_not(log: Gated) -> None:
    taker = intake(log, SOON)

    async def run() -> list[Any]:
        first = asyncio.create_task(take(taker, chat("a")))
        await begun(log)
        return list(await asyncio.gather(first, take(taker, chat("b")), return_exceptions=True))

    first, second = asyncio.run(run())
    assert (type(first), first.may_be_written) == (NotTaken, True)
    assert (type(second), second.may_be_written) == (NotTaken, False)
    log.gate.set()
    assert taker.stop(10)
    assert log.written == [chat("a")]


def test_a_writer_that_hangs_refuses_at_once(log: Gated) -> None:
    clock = ManualClock()
    taker = intake(log, SOON)
    writer = taker._writers["chat"]
    writer._monotonic_s = clock.monotonic_s

    async def run() -> None:
        with pytest.raises(NotTaken):
            await take(taker, chat("a"))
        clock.advance(60_000)
        with pytest.raises(NotTaken, match="at the moment") as raised:
            await take(taker, chat("b"))
        assert not raised.value.may_be_written

    asyncio.run(run())


def test_a_repetition_joins_the_request_that_is_on_its_way(log: Gated) -> None:
    taker = intake(log, IntakeConfig())

    async def run() -> list[Taken]:
        first = asyncio.create_task(take(taker, chat("a"), "k"))
        await begun(log)
        second = asyncio.create_task(take(taker, chat("a"), "k"))
        await asyncio.sleep(0)
        with pytest.raises(KeyReused):
            await take(taker, chat("b"), "k")
        log.gate.set()
        return list(await asyncio.gather(first, second))

    first, second = asyncio.run(run())
    assert first.receipt is second.receipt
    assert (first.repeated, second.repeated) == (False, True)
    assert log.written == [chat("a")]


def test_a_repetition_after_its_time_is_answered_once_kafka_has_the_first(log: Gated) -> None:
    taker = intake(log, SOON)

    async def run() -> Taken:
        with pytest.raises(NotTaken):
            await take(taker, chat("a"), "k")
        log.gate.set()
        return await take(taker, chat("a"), "k")  # type: ignore[no-any-return]

    assert asyncio.run(run()).receipt.accepted == 1
    assert log.written == [chat("a")]


def test_what_failed_is_not_remembered(log: Gated) -> None:
    taker = intake(log, IntakeConfig())
    log.gate.set()
    log.fails = True

    async def run() -> Taken:
        with pytest.raises(NotTaken, match="does not take"):
            await take(taker, chat("a"), "k")
        log.fails = False
        return await take(taker, chat("a"), "k")  # type: ignore[no-any-return]

    assert not asyncio.run(run()).repeated
    assert log.written == [chat("a")]


def test_what_is_in_hand_is_bounded_and_is_free_again(log: Gated) -> None:
    taker = intake(log, IntakeConfig(waiting_mb=1))
    large = chat("x" * 400_000)

    async def run() -> None:
        tasks = [asyncio.create_task(take(taker, large)) for _ in range(2)]
        await begun(log)
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaiting):
            await take(taker, large)
        log.gate.set()
        await asyncio.gather(*tasks)
        await take(taker, large)

    asyncio.run(run())
    assert len(log.written) == 3
    assert taker._in_hand_bytes == 0


def test_what_was_read_is_in_hand_before_its_writing_begins(log: Gated) -> None:
    """Else a request that comes in between takes its place, and one that was read already is refused."""
    taker = intake(log, IntakeConfig())

    async def run() -> int:
        task = asyncio.create_task(take(taker, chat("a")))
        await asyncio.sleep(0)  # it is read, and the task that writes it has not run yet
        in_hand = taker._in_hand_bytes
        log.gate.set()
        await task
        return in_hand

    assert asyncio.run(run()) == len(chat("a"))
    assert taker._in_hand_bytes == 0


def test_one_request_larger_than_the_bound_is_taken_alone(log: Gated) -> None:
    log.gate.set()
    taker = intake(log, IntakeConfig(waiting_mb=1))
    bodies = [chat("x" * 500_000)] * 4
    asyncio.run(taker.take("chat", b"packed", lambda _: bodies, packed=True))
    assert len(log.written) == 4


def test_what_reading_a_body_raises_is_raised_and_nothing_stays_in_hand(log: Gated) -> None:
    taker = intake(log, IntakeConfig())

    def broken(_: bytes) -> list[bytes]:
        raise ZeroDivisionError("a bug")

    for packed in (False, True):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(taker.take("chat", b"1", broken, packed=packed))
    assert taker._in_hand_bytes == 0


def test_a_body_whose_turn_to_be_read_does_not_come_is_answered_in_time(log: Gated) -> None:
    taker, gate = intake(log, SOON), threading.Event()

    def slow(body: bytes) -> list[bytes]:
        assert gate.wait(10)
        return [body]

    async def run() -> list[Any]:
        both = [taker.take("chat", chat(text), slow, packed=True) for text in ("a", "b")]
        found = await asyncio.gather(*both, return_exceptions=True)
        gate.set()
        return list(found)

    found = asyncio.run(run())
    assert [(type(one), one.may_be_written) for one in found] == [(TooManyWaiting, False)] * 2
    assert taker.stop(10)
    assert (log.written, taker._in_hand_bytes) == ([], 0)


def test_answers_are_forgotten_oldest_first_where_they_take_too_much(log: Gated) -> None:
    log.gate.set()
    taker = intake(log, IntakeConfig(keys_mb=1))
    refused = [b"5"] * 3_000

    async def run() -> list[bool]:
        for number in range(4):
            await taker.take("chat", b"", lambda _: refused, f"k{number}", packed=True)
        newest_first = [f"k{number}" for number in reversed(range(4))]
        return [(await taker.take("chat", b"", lambda _: refused, key, packed=True)).repeated for key in newest_first]

    assert asyncio.run(run()) == [True, False, False, False]


def test_without_time_nothing_is_remembered(log: Gated) -> None:
    log.gate.set()
    taker = intake(log, IntakeConfig(keys_s=0))

    async def run() -> None:
        await take(taker, chat("a"), "k")
        await take(taker, chat("a"), "k")

    asyncio.run(run())
    assert len(log.written) == 2
