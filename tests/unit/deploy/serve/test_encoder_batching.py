"""The Encoder merges what waits into one batch, each caller gets its own rows, and a failure reaches all of a batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.rooms.encoder_client import Encoded
from deploy.serve.encoder_batching import MOST_MERGED_TEXTS, Merger, RemoteEncoder
from streaming.errors import EncoderError
from streaming.log.watched_log import TurnCounter
from streaming.metrics import MemoryMetrics


class FakeModel:
    """A text's vector is its length. Waits for `open` before it answers."""

    def __init__(self, version: str = "fake") -> None:
        self.version = version
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.fails = False

    def encode_prefixed(self, texts: Sequence[str]) -> NDArray[np.float16]:
        self.batches.append(list(texts))
        self.open.wait(20)
        if self.fails:
            raise RuntimeError("out of memory")
        return np.array([[len(text)] for text in texts], np.float16)


async def submit_all(
    model: FakeModel, *submissions: list[str], giving_way: Sequence[list[str]] = ()
) -> list[Encoded | BaseException]:
    """Submits the first alone; while it is at the model those that give way, and then the others."""
    merger = Merger(MemoryMetrics())
    first = asyncio.create_task(merger.submit(submissions[0], model))
    while not model.batches:
        await asyncio.sleep(0)
    later = [asyncio.create_task(merger.submit(texts, model, gives_way=True)) for texts in giving_way]
    await asyncio.sleep(0)
    others = [asyncio.create_task(merger.submit(texts, model)) for texts in submissions[1:]]
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
        merger = Merger(MemoryMetrics())
        rooms = [asyncio.create_task(merger.submit([f"room {n}"] * MOST_MERGED_TEXTS, model)) for n in range(3)]
        while not model.batches:
            await asyncio.sleep(0)
        caller = asyncio.create_task(merger.submit(["asked"], model, goes_first=True))
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
        merger = Merger(MemoryMetrics())
        return [*failed, await merger.submit(["cc"], model)]

    *failed, worked = asyncio.run(fail_then_work())
    assert all(isinstance(one, RuntimeError) for one in failed)
    assert isinstance(worked, Encoded)


def test_a_worker_thread_submits_without_waiting_and_gets_a_future() -> None:
    async def from_a_thread() -> Encoded:
        async def call(texts: Sequence[str], encoder: str) -> Encoded:
            return Encoded(np.zeros((len(texts), 1), np.float16), encoder or "own")

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
        merger = Merger(MemoryMetrics())
        idle, stuck, done = (Looks(turn_counter, 3) for _ in range(3))
        merger.watch(idle, turn_counter)
        task = asyncio.create_task(merger.submit(["a"], model))
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
        merger = Merger(MemoryMetrics())
        tasks = [asyncio.create_task(merger.submit(["a"], model))]
        while not model.batches:
            await asyncio.sleep(0)
        counts = [merger.waiting_texts]
        tasks += [
            asyncio.create_task(merger.submit(["b", "c"], model)),
            asyncio.create_task(merger.submit(["d"], model)),
        ]
        tasks.append(asyncio.create_task(merger.submit(["e"], model, gives_way=True)))
        await asyncio.sleep(0)
        counts.append(merger.waiting_texts)
        model.open.set()
        await asyncio.gather(*tasks)
        return [*counts, merger.waiting_texts]

    assert asyncio.run(counted()) == [0, 3, 0]


def of_two_encoders(order: str, giving_way: str = "") -> tuple[list[tuple[str, list[str]]], list[Encoded]]:
    """Submits a text for each letter while a batch is at the model: "a" and "b" are encoders. What went to them."""
    went: list[tuple[str, list[str]]] = []
    is_open = threading.Event()

    class Noting(FakeModel):
        def encode_prefixed(self, texts: Sequence[str]) -> NDArray[np.float16]:
            went.append((self.version, list(texts)))
            is_open.wait(20)
            return np.full((len(texts), 1), ord(self.version), np.float16)

    async def submit() -> list[Encoded]:
        models = {version: Noting(version) for version in "ab"}
        merger = Merger(MemoryMetrics(), lambda: "b")
        first = asyncio.create_task(merger.submit(["first"], models["a"]))
        while not went:
            await asyncio.sleep(0)
        later = [asyncio.create_task(merger.submit(["later"], models[one], gives_way=True)) for one in giving_way]
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(merger.submit([f"{n}"], models[one])) for n, one in enumerate(order)]
        await asyncio.sleep(0)
        is_open.set()
        return await asyncio.gather(first, *tasks, *later)

    return went, asyncio.run(submit())


def test_a_batch_is_for_one_encoder_and_each_waits_no_longer_than_what_came_before_it() -> None:
    went, _ = of_two_encoders("abbab")
    assert went == [("a", ["first"]), ("a", ["0", "3"]), ("b", ["1", "2", "4"])]


def test_no_vector_has_the_name_of_another_encoder_and_each_answer_says_which_is_wanted() -> None:
    _, encoded = of_two_encoders("abbab", giving_way="ba")
    assert [one.version for one in encoded] == [*"aabbabba"]
    assert all(one.vectors.tolist() == [[ord(one.version)]] for one in encoded)
    assert {one.wanted for one in encoded} == {"b"}


def test_what_gives_way_is_not_put_to_texts_for_another_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.serve.encoder_batching.PATIENCE_S", -1.0)
    went, _ = of_two_encoders("aa", giving_way="b")
    assert went == [("a", ["first"]), ("b", ["later"]), ("a", ["0", "1"])]


def test_vectors_of_another_encoder_than_was_asked_for_are_refused() -> None:
    async def ask(encoder: str) -> Encoded:
        async def call(texts: Sequence[str], _: str) -> Encoded:
            return Encoded(np.zeros((len(texts), 1), np.float16), "old")

        client = RemoteEncoder(call, asyncio.get_running_loop())
        return await asyncio.wrap_future(client.submit(["a"], encoder))

    assert asyncio.run(ask("")).version == "old"
    assert asyncio.run(ask("old")).version == "old"
    with pytest.raises(EncoderError, match="asked for vectors of the encoder new, what came is of old"):
        asyncio.run(ask("new"))
