"""Vectors that are not of numbers, in a worker and in a replica: refused, counted, asked for once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import numpy as np

from actors.rooms.encoder_client import Encoded
from streaming.log.codec import encode
from streaming.log.topics import ROOM_STATES
from streaming.room.vectors import to_bytes
from tests.fake_encoder import FAKE_VERSION, fake_vectors
from tests.unit.actors.replica import Replica, axis
from tests.unit.actors.room_stage import Stage

NANS = to_bytes(np.full(8, np.nan, np.float32))


class BrokenEncoder:
    """Gives NaN for the texts that it fails at."""

    def __init__(self, fails: Callable[[str, int], bool]) -> None:
        self.asked: list[str] = []
        self._fails = fails

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        vectors_ND = fake_vectors(texts)
        for row, text in enumerate(texts):
            self.asked.append(text)
            if self._fails(text, self.asked.count(text)):
                vectors_ND[row, 3] = np.nan
        future: Future[Encoded] = Future()
        future.set_result(Encoded(vectors_ND, FAKE_VERSION))
        return future


def test_an_encoder_that_failed_once_is_asked_once_more() -> None:
    encoder = BrokenEncoder(lambda _, times: times == 1)
    stage = Stage(encoder)
    stage.send(stage.started("a", title="a title"), stage.said("a", "what an opening"))
    stage.turns(200)
    assert stage.state("a").title_vector == to_bytes(fake_vectors(["a title"])[0])
    assert stage.state("a").chat_vector == to_bytes(fake_vectors(["what an opening"])[0])
    assert stage.metrics.value("vectors_refused_total", reader="encoder") == 2


def test_a_text_that_never_gets_numbers_costs_two_encodes_and_no_other_room_anything() -> None:
    encoder = BrokenEncoder(lambda text, _: "cursed" in text)
    stage = Stage(encoder)
    for room in "abc":
        stage.send(stage.started(room, title=f"title {room}" if room != "b" else "cursed title"))
        stage.send(stage.said(room, "cursed words" if room == "b" else f"words of {room}"))
    stage.turns(200)
    assert stage.state("b").title_vector == stage.state("b").chat_vector == b""
    for room in "ac":
        assert stage.state(room).chat_vector == to_bytes(fake_vectors([f"words of {room}"])[0])
    assert (encoder.asked.count("cursed title"), encoder.asked.count("cursed words")) == (2, 2)
    stage.send(stage.started("b", title="blessed"))
    stage.turns(100)
    assert stage.state("b").title_vector == to_bytes(fake_vectors(["blessed"])[0])


def test_a_poisoned_state_is_healed_and_counted_by_the_worker_that_reads_it_back() -> None:
    stage = Stage()
    stage.send(stage.started("a", title="a title"))
    stage.turns(100)
    poisoned = msgspec.structs.replace(stage.state("a"), title_vector=NANS, mean_vector=NANS)
    stage.producer.send(ROOM_STATES, b"a", encode(poisoned))
    stage.producer.flush()
    stage.start()
    stage.turns(100)
    assert stage.metrics.value("vectors_refused_total", reader="room-workers") == 1
    assert stage.state("a").title_vector == to_bytes(fake_vectors(["a title"])[0])
    assert stage.state("a").mean_vector == b""


def test_a_replica_serves_a_room_without_the_vector_that_is_not_of_numbers() -> None:
    replica = Replica()
    replica.room("a", title_vector=axis(0))
    replica.send(ROOM_STATES, "b", encode(replica.state("b", title_vector=axis(1), chat_vector=NANS, mean_vector=NANS)))
    assert sorted(replica.shown("v")) == ["a", "b"]
    held = replica.tables.rooms.snapshots["b"].state  # type: ignore[index]
    assert (held.title_vector, held.chat_vector, held.mean_vector) == (axis(1), b"", b"")
    assert replica.metrics.value("vectors_refused_total", reader="replica") == 1
