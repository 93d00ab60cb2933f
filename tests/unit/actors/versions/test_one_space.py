"""Tests that nothing of two encoders is ever mixed: at random, with readers during flips, and what others keep."""

from __future__ import annotations

import random
import threading

import msgspec
import numpy as np
import pytest

from actors.answers.room_map import RoomMaps
from actors.answers.search import Asked, Search
from actors.recommend.recommender import Query
from actors.recommend.schema import Answer, Item
from actors.requests.steer import Steer
from actors.requests.text_vectors import TextVector
from actors.state.room_embeddings import ModelEmbeddings
from streaming.events import RoomId, ViewerId
from streaming.room.content_slots import encoders_of, read_by
from tests.unit.actors.replica import Replica
from tests.unit.actors.two_encoders import (
    LENGTHS,
    NEW,
    OLD,
    THIRD,
    TwoEncoders,
    begun_anew,
    check_answer,
    check_space,
    content,
    read,
    vector,
)
from training.inference.interface import RoomEmbeddings

OF = {"one": OLD, "two": OLD, "next": NEW, "after": NEW, "third": THIRD}
WAYS: tuple[tuple[str, ...], ...] = (
    (OLD,), (NEW,), (OLD, NEW), (NEW, OLD), (OLD, NEW), (NEW, OLD), (THIRD, NEW), (NEW, THIRD), (OLD, THIRD), (),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_tables_are_as_if_begun_anew_in_their_space(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr("actors.versions.compatibility.FITTING", 0.3)  # so that there are many flips
    monkeypatch.setattr("actors.versions.swap.REST_MS", 0)
    world = TwoEncoders(encoders=(OLD, NEW))
    flips = 0
    for _ in range(40):
        was = world.rooms.encoder
        _happen(world, rng)
        flips += world.rooms.encoder != was
        check_space(world.rooms)
        version = world.embeddings.version
        assert world.rooms.encoder == OF.get(version, world.rooms.encoder)
        check_answer(world.answer(), world.rooms.encoder, version)
    assert flips > 3
    world.check(world.rooms.encoder, world.embeddings.version)
    _check_equal(world, begun_anew(world, world.rooms.encoder))


def _happen(world: TwoEncoders, rng: random.Random) -> None:
    for _ in range(rng.randrange(12)):
        number = rng.randrange(60)
        ends = {"status": "ended"} if rng.random() < 0.15 else {}
        world.replica.room(f"r{number}", **read(rng.randrange(48), *rng.choice(WAYS)), **ends)
    if rng.random() < 0.1:
        world.replica.send("room-states", f"r{rng.randrange(60)}", None)
    if rng.random() < 0.5:
        world.during = lambda: _change_once(world, rng)
        world.later(rng.choice([*OF, "v0"]))
        world.during = lambda: None


def _change_once(world: TwoEncoders, rng: random.Random) -> None:
    """While another version is built."""
    world.during = lambda: None
    for _ in range(rng.randrange(30)):
        ends = {"status": "ended"} if rng.random() < 0.2 else {}
        world.replica.room(f"r{rng.randrange(60)}", **read(rng.randrange(48), *rng.choice(WAYS)), **ends)


def _check_equal(world: TwoEncoders, anew: Replica) -> None:
    ours, theirs = world.rooms, anew.tables.rooms
    if theirs.encoder != ours.encoder:
        return  # no room has this encoder's vector in front
    assert sorted(ours.snapshots) == sorted(theirs.snapshots)
    for room, snapshot in ours.snapshots.items():
        other = theirs.snapshots[room]
        assert snapshot.state == other.state
        assert ours.saw_ms_N[snapshot.slot] == theirs.saw_ms_N[other.slot]
        np.testing.assert_array_equal(ours.vectors_ND[snapshot.slot], theirs.vectors_ND[other.slot])
    for room in ours.ended:
        one, two = ours.ended.get(room), theirs.ended.get(room)
        assert one is not None
        assert two is not None
        assert one.state == two.state
        np.testing.assert_array_equal(one.vector_D, two.vector_D)


def test_who_asks_during_flips_gets_one_space() -> None:
    world = TwoEncoders(rooms=60, encoders=(OLD, NEW))
    world.live("one")
    recommender = world.replica.recommender
    search = Search(recommender, title_weight=world.rooms.title_weight)
    stop, wrong, asked = threading.Event(), [], [0]

    def ask() -> None:
        try:
            while not stop.is_set():
                for viewer in ("v", "stranger"):
                    answer = world.answer(viewer)
                    check_answer(answer, OF[answer.model_version], answer.model_version)
                    written = msgspec.json.decode(recommender.recommend_json(Query(viewer=viewer)), type=Answer)
                    check_answer(written, OF[written.model_version], written.model_version)
                _check_items(recommender.similar("r7", 5))
                found = search.found(Asked(text="t"), text_vector(OLD, 1))
                assert all(item.receipt.encoder_version == OLD for item in found.rooms)
                with world.replica.tables.lock:
                    check_space(world.rooms)
                asked[0] += 1
        except BaseException as err:  # shown below
            wrong.append(err)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for round_, version in enumerate(["next", "one", "after", "two"] * 4):
            world.read(range(round_, 60, 7), *((OLD, NEW) if round_ % 3 else (NEW, OLD)))
            world.live(version)
            assert world.embeddings.version == version
            until = asked[0] + 1
            while asked[0] < until and not wrong:
                world.read(range(round_, 60, 11), OLD, NEW)
    finally:
        stop.set()
        thread.join()
    assert wrong == []


def _check_items(items: list[Item]) -> None:
    for item in items:
        assert item.receipt.encoder_version == OF[item.receipt.model_version]


def text_vector(encoder: str, number: int) -> TextVector:
    return TextVector(np.frombuffer(vector(encoder, number), "<f2").astype(np.float32), encoder)


def test_a_text_is_compared_only_with_vectors_of_its_encoder() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    search = Search(world.replica.recommender, title_weight=world.rooms.title_weight)

    def found(encoder: str, number: int) -> set[str]:
        rooms = search.found(Asked(text="t", limit=40), text_vector(encoder, number)).rooms
        return {item.room for item in rooms if item.score > 0.9}

    world.live("one")
    assert found(OLD, 1) == {f"r{number}" for number in range(1, 40, 8)}
    assert found(NEW, 1) == found(THIRD, 1) == set()
    world.live("next")
    assert found(NEW, 1) == {f"r{number}" for number in range(1, 40, 6)}
    assert found(OLD, 1) == set()
    world.read(range(40), NEW, THIRD)
    world.live("third")
    assert found(THIRD, 1) == {f"r{number}" for number in range(1, 40, 8)}
    assert found(OLD, 1) == set(), "its vectors are as long"
    world.read(range(1, 2), NEW)
    assert "r1" not in found(THIRD, 1)


def test_a_steer_by_a_text_of_another_encoder_pulls_nothing() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    for encoder, became in ((OLD, "used"), (NEW, "unavailable"), (THIRD, "unavailable")):
        world.replica.texts.put("cosy", text_vector(encoder, 5))
        steered = world.answer(steer=Steer(text="cosy", liked=("r3", "gone")), explain=True)
        assert steered.steer.text == became  # type: ignore[union-attr]
        assert steered.steer.ended == ["gone"]  # type: ignore[union-attr]
    world.live("next")
    steered = world.answer("stranger", steer=Steer(liked=("r4", "gone")), explain=True)
    pulls = {item.room: item.terms["steer"] for item in steered.rooms}  # type: ignore[index]
    assert max(pulls, key=lambda room: pulls[room]) in {f"r{number}" for number in (*range(4, 40, 6), *range(3, 40, 6))}


def test_a_map_of_another_encoders_vectors_is_drawn_anew() -> None:
    world = TwoEncoders(encoders=(OLD, THIRD))
    maps = RoomMaps(world.replica.recommender, world.replica.clock)
    world.live("one")
    old = maps.draw(40, None, "")
    assert maps.draw(40, None, old.axes).axes == old.axes
    world.live("third")
    new = maps.draw(40, None, old.axes)
    assert new.axes != old.axes
    assert new is not old
    anew = RoomMaps(world.replica.recommender, world.replica.clock).draw(40, None, "")
    assert (new.axes, new.rooms) == (anew.axes, anew.rooms)
    assert maps.draw(40, None, "").axes == new.axes


def test_a_room_is_servable_with_the_new_vector_from_the_flip_on() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.replica.clock.advance(5_000)
    world.live("next")
    flip_ms = world.replica.clock.now_ms()
    assert {snapshot.servable_ms for snapshot in world.rooms.by_slot.values()} == {flip_ms}
    world.replica.clock.advance(5_000)
    states = {name: world.rooms.snapshots[RoomId(name)].published for name in ("r3", "r4")}
    world.replica.room("r3", **{**read(3, NEW, OLD), "other": content(OLD, 8)})  # only the old encoder has read it anew
    world.replica.room("r4", **read(9, NEW, OLD))
    assert encoders_of(states["r3"]) == (OLD, NEW)
    servable = {name: world.rooms.snapshots[RoomId(name)].servable_ms for name in ("r3", "r4")}
    assert servable == {"r3": flip_ms, "r4": flip_ms + 5_000}


def test_freshness_is_that_of_the_vectors_in_use() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    said_ms = world.replica.clock.now_ms() - 100

    def observed(**changes: object) -> int:
        before = len(world.replica.metrics.observed("freshness_seconds", stage="total"))
        world.replica.room("r3", **changes)
        return len(world.replica.metrics.observed("freshness_seconds", stage="total")) - before

    with_new = msgspec.structs.replace(content(NEW, 3), appended_ms=said_ms)
    assert observed(**{**read(3, OLD), "other": with_new}) == 0
    assert observed(**{**read(3, OLD), "appended_ms": said_ms, "other": with_new}) == 1
    with_old = msgspec.structs.replace(content(OLD, 3), appended_ms=said_ms)
    assert observed(**{**read(3, NEW), "appended_ms": said_ms + 1, "other": with_old}) == 0
    with_old = msgspec.structs.replace(with_old, appended_ms=said_ms + 2)
    assert observed(**{**read(3, NEW), "appended_ms": 0, "other": with_old}) == 1


def test_the_first_encoder_that_has_read_a_room_is_the_one_in_use() -> None:
    replica = Replica()
    replica.room("quiet", encoder_version="", title_vector=b"")
    replica.room("read", encoder_version=NEW, title_vector=b"", title_hash=5)
    rooms = replica.tables.rooms
    assert (rooms.encoder, rooms.dimension) == ("", 0)
    replica.room("second", encoder_version="", title_vector=b"", other=content(NEW, 2))
    assert (rooms.encoder, rooms.dimension) == (NEW, LENGTHS[NEW])
    check_space(rooms)
    assert rooms.snapshots[RoomId("read")].state.encoder_version == NEW


def test_a_viewers_ended_rooms_are_read_by_the_encoder_of_the_version_that_asks() -> None:
    world = TwoEncoders()
    world.live("one")
    world.replica.room("gone", status="ended", **read(3, NEW, THIRD))
    third = world.rooms.embeddings_under(world.versions["third"], THIRD)
    assert isinstance(third, ModelEmbeddings)
    viewers, now_ms = world.replica.recommender._viewers, world.replica.clock.now_ms()
    cached = viewers.of(ViewerId("v"), now_ms)
    viewers.under(third, ViewerId("v"), cached, now_ms)
    ended = world.rooms.ended.get(RoomId("gone"))
    assert ended is not None
    view = read_by(ended.published, THIRD)
    expected = third.embed([view], world.rooms.content([view], 8))
    embedded = world.versions["third"].embedded  # type: ignore[attr-defined]
    kept = third.ended([ended.published], lambda _: np.zeros((1, 8), np.float32))
    np.testing.assert_array_equal(kept.vectors_NE, expected.vectors_NE)
    assert world.versions["third"].embedded == embedded, "it was embedded for the viewer"  # type: ignore[attr-defined]
    assert kept.content_gate_N[0] > 0


def test_a_version_is_never_given_vectors_of_another_encoder() -> None:
    """The old encoder and the third have vectors of the same length: only the version tells them apart."""
    world = TwoEncoders(encoders=(OLD, THIRD))
    given: list[float] = []
    embed = world.versions["third"].embed_rooms

    def watch(streamers: list[str], now_ND: np.ndarray, mean_ND: np.ndarray, *more: object) -> RoomEmbeddings:
        for streamer, now_D, mean_D in zip(streamers, now_ND, mean_ND, strict=True):
            number = 3 if streamer.endswith("gone") else int(streamer.removeprefix("streamer of r"))
            if not np.isnan(now_D[0]):
                assert now_D.argmax() == (4 + number) % 8
                assert mean_D.argmax() == (4 + number // 2) % 8
                given.append(number)
            else:
                assert not mean_D.any()
        return embed(streamers, now_ND, mean_ND, *more)

    world.versions["third"].embed_rooms = watch  # type: ignore[method-assign, assignment]
    world.live("one")
    world.live("third")
    assert len(given) >= 40
    world.read(range(10), OLD)
    world.read(range(10, 20), THIRD, OLD)
    world.answer()
    world.live("one")
    world.read(range(20, 30), THIRD, OLD)
    world.check(OLD, "one")
