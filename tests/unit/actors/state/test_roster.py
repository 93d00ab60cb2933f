"""Tests of the roster: who has which live rooms, and whether a look-up still stands. Never scores."""

from __future__ import annotations

from actors.recommend.recommender import Query
from actors.state.roster import JOURNAL_CHANGES, Roster
from streaming.events import RoomId, StreamerId
from tests.unit.actors.replica import Replica

ANN, BOB = StreamerId("ann"), StreamerId("bob")


def test_a_look_up_stands_until_a_room_of_its_streamers_starts_moves_or_ends() -> None:
    roster = Roster()
    roster.enter(ANN, RoomId("a"), 1)
    seen = roster.version
    roster.enter(ANN, RoomId("a"), 1)  # known already
    roster.enter(BOB, RoomId("b"), 2)
    assert roster.stands(seen, {ANN})
    assert not roster.stands(seen, {ANN, BOB})
    roster.leave(ANN, RoomId("a"))
    assert not roster.stands(seen, {ANN})
    assert roster.of(ANN) is None


def test_a_look_up_older_than_the_journal_does_not_stand() -> None:
    roster = Roster()
    for number in range(JOURNAL_CHANGES + 1):
        roster.enter(BOB, RoomId(f"b{number}"), number)
    assert not roster.stands(0, {ANN})
    assert roster.stands(1, {ANN})


def test_a_room_that_a_visited_streamer_starts_or_ends_is_in_the_next_answer_or_not() -> None:
    replica = Replica()
    replica.room("a")
    replica.room("other", category="chess")
    replica.viewer("v", "a")
    replica.room("a", category="chess")
    assert sources(replica) == {"a": "visited", "other": "live"}
    replica.room("again", streamer="streamer of a", category="chess")
    assert sources(replica)["again"] == "visited"
    replica.room("again", streamer="somebody else", category="chess")
    assert sources(replica)["again"] != "visited"
    replica.room("a", status="ended")
    assert "a" not in sources(replica)


def sources(replica: Replica) -> dict[str, str]:
    return {item.room: item.source for item in replica.recommender.recommend(Query(viewer="v")).rooms}
