"""The Encoder merges what waits into one batch, each caller gets its own rows, and a failure reaches all of a batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from actors.rooms.encoder_client import Encoded
from deploy.serve.encoder_batching import MOST_MERGED_TEXTS, Merger, RemoteEncoder
from streaming.log.watched_log import TurnCounter
from streaming.metrics import MemoryMetrics


class FakeModel:
    """A text's vector is its length. Waits for `open` before it answers."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.fails = False

    def encode(self, texts: Sequence[str]) -> Encoded:
        self.batches.append(list(texts))
        self.open.wait(20)
        if self.fails:
            raise RuntimeError("out of memory")
        return Encoded(np.array([[len(text)] for text in texts], np.float16), "fake")


async def submit_all(
    model: FakeModel, *submissions: list[str], giving_way: Sequence[list[str]] = ()
) -> list[Encoded | BaseException]:
    """Submits the first alone; while it is at the model those that give way, and then the others."""
    merger = Merger(model.encode, MemoryMetrics())
    first = asyncio.create_task(merger.submit(submissions[0]))
    while not model.batches:
        await asyncio.sleep(0)
    later = [asyncio.create_task(merger.submit(texts, gives_way=True)) for texts in giving_way]
    await asyncio.sleep(0)
    others = [asyncio.create_task(merger.submit(texts)) for texts in submissions[1:]]
    await asyncio.sleep(0)
    model.open.set()
    return await asyncio.gather(first, *others, *later, return_exceptions=True)


def test_what_waits_is_encoded_as_one_and_each_gets_its_rows() -> None:
    model = FakeModel()
    found = asyncio.run(submit_all(model, ["a"], ["bb", "ccc"], ["dddd"]))
    assert model.batches == [["a"], ["bb", "ccc", "dddd"]]
    assert [one.vectors.tolist() for one in found if isinstance(one, Encoded)] == [[[1]], [[2], [3]], [[4]]]


def test_what_callers_ask_with_is_in_the_next_batch_however_many_texts_of_rooms_wait() -> None:
    model = FakeModel()

    async def asked() -> Encoded:
        merger = Merger(model.encode, MemoryMetrics())
        rooms = [asyncio.create_task(merger.submit([f"room {n}"] * MOST_MERGED_TEXTS)) for n in range(3)]
        while not model.batches:
            await asyncio.sleep(0)
        caller = asyncio.create_task(merger.submit(["asked"], goes_first=True))
        await asyncio.sleep(0)
        model.open.set()
        await asyncio.gather(*rooms)
        return await caller

    found = asyncio.run(asked())
    assert [batch[0] for batch in model.batches] == ["room 0", "asked", "room 1", "room 2"]
    assert found.vectors.tolist() == [[len("asked")]]


def test_a_batch_is_bounded_but_one_submission_is_never_split() -> None:
    model = FakeModel()
    large = ["x"] * (MOST_MERGED_TEXTS + 1)
    asyncio.run(submit_all(model, ["a"], large, ["b"]))
    assert [len(batch) for batch in model.batches] == [1, len(large), 1]


def test_texts_that_give_way_wait_for_all_others_and_are_no_more_than_one_submission_at_a_time() -> None:
    model = FakeModel()
    found = asyncio.run(submit_all(model, ["a"], ["b"], ["bb"], giving_way=[["z"], ["zz"]]))
    assert model.batches == [["a"], ["b", "bb"], ["z"], ["zz"]]
    vectors = [one.vectors.tolist() for one in found if isinstance(one, Encoded)]
    assert vectors == [[[1]], [[1]], [[2]], [[1]], [[2]]]


def test_texts_that_give_way_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.serve.encoder_batching.PATIENCE_S", -1.0)
    model = FakeModel()
    asyncio.run(submit_all(model, ["a"], ["b"], giving_way=[["z"]]))
    assert model.batches == [["a"], ["b", "z"]]


def test_a_failure_reaches_every_caller_and_the_next_batch_goes_on() -> None:
    async def fail_then_work() -> list[Encoded | BaseException]:
        model = FakeModel()
        model.fails = True
        failed = await submit_all(model, ["a"], ["b"])
        model.fails = False
        merger = Merger(model.encode, MemoryMetrics())
        return [*failed, await merger.submit(["cc"])]

    *failed, worked = asyncio.run(fail_then_work())
    assert all(isinstance(one, RuntimeError) for one in failed)
    assert isinstance(worked, Encoded)


def test_a_worker_thread_submits_without_waiting_and_gets_a_future() -> None:
    async def from_a_thread() -> Encoded:
        async def call(texts: Sequence[str], encoder: str) -> Encoded:
            return Encoded(np.zeros((len(texts), 1), np.float16), encoder)

        client = RemoteEncoder(call, asyncio.get_running_loop())
        future = await asyncio.to_thread(client.submit, ["a", "b"], "new")
        return await asyncio.wrap_future(future)

    encoded = asyncio.run(from_a_thread())
    assert (len(encoded.vectors), encoded.version) == (2, "new")


def test_a_lost_call_fails_the_future() -> None:
    async def lost() -> None:
        async def call(_: Sequence[str], __: str) -> Encoded:
            raise ConnectionError("the encoder was killed")

        client = RemoteEncoder(call, asyncio.get_running_loop())
        await asyncio.wrap_future(client.submit(["a"]))

    with pytest.raises(ConnectionError):
        asyncio.run(lost())


class Looks(threading.Event):
    """A stop that comes after so many looks, each of which notes how many turns were counted."""

    def __init__(self, turn_counter: TurnCounter, looks: int) -> None:
        super().__init__()
        self._turn_counter = turn_counter
        self._looks = looks
        self.seen: list[int] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seen.append(self._turn_counter.turns)
        return len(self.seen) > self._looks


def test_the_count_of_turns_stands_still_only_while_one_batch_stays_at_the_model() -> None:
    async def watch() -> list[list[int]]:
        model, turn_counter = FakeModel(), TurnCounter()
        merger = Merger(model.encode, MemoryMetrics())
        idle, stuck, done = (Looks(turn_counter, 3) for _ in range(3))
        merger.watch(idle, turn_counter)
        task = asyncio.create_task(merger.submit(["a"]))
        while not model.batches:
            await asyncio.sleep(0)
        merger.watch(stuck, turn_counter)
        model.open.set()
        await task
        merger.watch(done, turn_counter)
        return [idle.seen, stuck.seen, done.seen]

    assert asyncio.run(watch()) == [[0, 1, 2, 3], [3, 4, 4, 4], [4, 5, 6, 7]]


def test_texts_of_live_rooms_that_wait_are_counted_and_those_that_give_way_are_not() -> None:
    """They are what Serve scales Encoders by."""

    async def counted() -> list[int]:
        model = FakeModel()
        merger = Merger(model.encode, MemoryMetrics())
        tasks = [asyncio.create_task(merger.submit(["a"]))]
        while not model.batches:
            await asyncio.sleep(0)
        counts = [merger.waiting_texts]
        tasks += [asyncio.create_task(merger.submit(["b", "c"])), asyncio.create_task(merger.submit(["d"]))]
        tasks.append(asyncio.create_task(merger.submit(["e"], gives_way=True)))
        await asyncio.sleep(0)
        counts.append(merger.waiting_texts)
        model.open.set()
        await asyncio.gather(*tasks)
        return [*counts, merger.waiting_texts]

    assert asyncio.run(counted()) == [0, 3, 0]
