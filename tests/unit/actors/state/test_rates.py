"""Tests that what is said of a room's chat is as of now, and that one chatter does not make a crowd."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from actors.recommend.recommender import Answer, Query
from streaming.events import ChatMessage, RoomActivity, RoomId, RoomStarted, RoomState, ViewerEvent, ViewerId
from streaming.log.codec import encode
from streaming.log.topics import ROOM_STATES
from streaming.room.activity import ActivityBook
from streaming.room.room import RoomAggregate
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from tests.unit.actors.fake_version import FakeVersion, Floats
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import Replica, axis
from training.inference.interface import RoomEmbeddings


class Chat:
    """A room's fold, told what is said. Times are of the replica's clock."""

    def __init__(self, replica: Replica, room: str) -> None:
        self.replica, self.room = replica, room
        self.aggregate = RoomAggregate(RoomId(room), WindowConfig())
        self.offset = 0
        now_ms = replica.clock.now_ms()
        self.started = RoomStarted(room=room, streamer="streamer of " + room, at_ms=now_ms - 3_600_000)
        self.aggregate.apply_lifecycle(self.started, self._next(), now_ms)

    def _next(self) -> int:
        self.offset += 1
        return self.offset

    def say(self, messages: int, chatters: int, seconds: float, *, ahead_ms: int = 0) -> None:
        """Spread over the seconds up to now."""
        now_ms = self.replica.clock.now_ms()
        for number in range(messages):
            said_ms = now_ms - int(1_000 * seconds * (messages - number) / messages) + ahead_ms
            message = ChatMessage(room=self.room, viewer=f"v{number % chatters}", text=f"m {number}", at_ms=said_ms)
            self.aggregate.apply_chat(message, self._next(), said_ms - ahead_ms)

    def act(self, activities: Sequence[RoomActivity]) -> None:
        for activity in activities:
            self.aggregate.apply_activity(activity, self._next(), self.replica.clock.now_ms())

    def state(self) -> RoomState:
        state = self.aggregate.state(self.replica.clock.now_ms())
        assert state is not None
        return state

    def publish(self) -> None:
        self.replica.send(ROOM_STATES, self.room, encode(self.state()))


def rates(replica: Replica) -> dict[str, int]:
    """By room as listed, which every other path agrees with."""
    listed = {room.room: room.chat_per_minute for room in replica.recommender.rooms(100)}
    assert {room: replica.recommender.room(room).chat_per_minute for room in listed} == listed
    return listed


def first(replica: Replica) -> str:
    return replica.recommender.recommend(Query(viewer="stranger")).rooms[0].room


def test_a_burst_is_over_when_it_is_over_though_no_state_says_so() -> None:
    replica = Replica()
    loud, steady = Chat(replica, "loud"), Chat(replica, "steady")
    loud.say(6_000, 3_000, 4)
    loud.publish()
    steady.say(20, 20, 30)
    steady.publish()
    assert first(replica) == "loud"
    assert rates(replica)["loud"] > 4_000, "of each 5 s of a room some 2,000 chatters are told apart"
    replica.clock.advance(22 * 60_000)
    steady.say(20, 20, 30)
    steady.publish()
    assert (first(replica), rates(replica)) == ("steady", {"loud": 0, "steady": 20})


def test_a_replica_that_starts_later_sees_the_silence_too() -> None:
    replica = Replica()
    loud = Chat(replica, "loud")
    loud.say(6_000, 3_000, 4)
    replica.clock.advance(22 * 60_000)
    loud.aggregate.apply_lifecycle(loud.started, 9_000, replica.clock.now_ms())  # another sign of life
    loud.publish()
    assert rates(replica) == {"loud": 0}


def test_a_rate_falls_between_two_answers_in_the_written_ones_too() -> None:
    replica = Replica()
    loud = Chat(replica, "loud")
    loud.say(60, 60, 10)
    loud.publish()
    query, shown = Query(viewer="stranger"), []
    for _ in range(5):
        (written,) = msgspec.json.decode(replica.recommender.recommend_json(query), type=Answer).rooms
        (answered,) = replica.recommender.recommend(query).rooms
        assert written.chat_per_minute == answered.chat_per_minute
        shown.append(written.chat_per_minute)
        replica.clock.advance(20_000)
    assert shown[0] == 60
    assert shown[-1] == 0
    assert shown == sorted(shown, reverse=True)


def test_one_chatter_with_thousands_of_messages_is_no_crowd() -> None:
    replica = Replica()
    bot, talk = Chat(replica, "bot"), Chat(replica, "talk")
    bot.say(6_000, 1, 4)
    talk.say(60, 60, 60)
    for chat in (bot, talk):
        chat.publish()
    assert first(replica) == "talk"
    assert rates(replica)["bot"] <= 6, "three messages in each 5 s that it wrote in"
    assert bot.state().messages == 6_000, "what was counted stays said"


def test_a_chatter_among_others_hides_nobody() -> None:
    replica = Replica()
    mixed = Chat(replica, "mixed")
    mixed.say(30, 30, 20)
    mixed.say(2_000, 1, 4)
    mixed.publish()
    assert 30 <= rates(replica)["mixed"] <= 36


def come_and_go(chat: Chat, viewer: str, times: int) -> None:
    """Within the last twenty seconds."""
    aggregate, book = ProfileAggregate(ViewerId(viewer), ProfileConfig()), ActivityBook()
    at_ms, actions = chat.replica.clock.now_ms() - 20_000, ("enter", "leave")
    for number in range(2 * times):
        at_ms += 40
        event = ViewerEvent(viewer=viewer, room=chat.room, streamer="s", action=actions[number % 2], at_ms=at_ms)  # type: ignore[arg-type]
        aggregate.apply(event, at_ms, book)
    chat.act(book.drain())


def test_one_viewer_who_comes_and_goes_is_no_crowd() -> None:
    replica = Replica()
    flapping, visited = Chat(replica, "flapping"), Chat(replica, "visited")
    come_and_go(flapping, "v", 200)
    for number in range(5):
        come_and_go(visited, f"w{number}", 1)
    flapping.publish()
    visited.publish()
    hot = replica.tables.rooms.lately.entries(replica.tables.rooms.slots(), replica.clock.now_ms())
    assert sorted(hot.minute_N.tolist()) == [1, 5]
    assert first(replica) == "visited"
    assert flapping.state().entered == 200, "what was counted stays said"


@pytest.mark.parametrize("into_bucket_s", range(10))
def test_after_a_minute_of_silence_the_rate_is_nothing(into_bucket_s: int) -> None:
    replica = Replica()
    replica.clock.advance(1_000 * into_bucket_s)
    loud = Chat(replica, "loud")
    loud.say(60, 60, 4)
    loud.publish()
    assert rates(replica) == {"loud": 60}
    replica.clock.advance(60_000)
    assert rates(replica) == {"loud": 0}
    loud.publish()
    assert rates(replica) == {"loud": 0}, "nor by a state written later"


@pytest.mark.parametrize("back_ms", [2_000, 3_600_000])
def test_where_the_clock_is_put_back_answers_go_on_being_of_now(back_ms: int) -> None:
    replica = Replica()
    quiet, loud = Chat(replica, "quiet"), Chat(replica, "loud")
    quiet.publish()
    loud.publish()
    assert set(replica.shown("stranger")) == {"quiet", "loud"}
    replica.clock.advance(-back_ms)
    loud.say(60, 60, 4)
    loud.publish()
    replica.clock.advance(400)
    items = {item.room: item for item in replica.recommender.recommend(Query(viewer="stranger")).rooms}
    assert (items["loud"].chat_per_minute, items["loud"].source) == (60, "trending")


@pytest.mark.parametrize("ahead_ms", [50_000, -50_000])
def test_a_clock_that_is_off_does_not_keep_a_rate_up(ahead_ms: int) -> None:
    replica = Replica()
    loud = Chat(replica, "loud")
    loud.say(6_000, 3_000, 4, ahead_ms=ahead_ms)
    loud.publish()
    replica.clock.advance(3 * 60_000)
    assert rates(replica) == {"loud": 0}


@pytest.mark.parametrize("model", [False, True])
def test_a_room_that_takes_the_place_of_an_ended_one_is_not_as_hot_as_that_was(model: bool) -> None:
    replica = Replica()
    hot = Chat(replica, "hot")
    for number in range(5):
        replica.room(f"o{number}", title_vector=axis(1))
    if model:
        put_live(replica, FakeVersion("one"))
    hot.say(600, 600, 4)
    come_and_go(hot, "v", 1)
    hot.publish()
    replica.recommender.renew()
    replica.clock.advance(400)
    before = replica.recommender.recommend(Query(viewer="stranger")).rooms
    assert [item.chat_per_minute > 0 for item in before if item.room == "hot"] == [True]
    replica.room("hot", status="ended")
    replica.room("new", title_vector=axis(1))
    replica.room("other", title_vector=axis(1))
    items = {item.room: item for item in replica.recommender.recommend(Query(viewer="stranger", explain=True)).rooms}
    taken, other = items["new"], items["other"]
    assert (taken.chat_per_minute, taken.source, taken.reason) == (0, "live", "live now")
    if not model:
        assert (taken.score, taken.terms) == (other.score, other.terms)
    kept = replica.recommender._ranking._prepared.get("one")
    assert model == (kept is not None)
    if kept is not None:
        slot = replica.tables.rooms.snapshots[RoomId("new")].slot
        assert not kept.rows_SH[slot].any()
        replica.recommender.renew()
        replica.shown("stranger")
        assert kept.rows_SH[slot].any(), "what is prepared of the room itself stays"


def test_what_is_prepared_while_a_room_takes_another_s_place_is_of_neither() -> None:
    replica = Replica()
    hot = Chat(replica, "hot")
    hot.say(600, 600, 4)
    hot.publish()

    class Replacing(FakeVersion):
        """Prepares rooms so slowly that one of them ends meanwhile, and another has its slot."""

        replaces = False

        def prepare(self, room_features_NC: Floats, rooms: RoomEmbeddings) -> Floats:
            if self.replaces:
                replica.room("hot", status="ended")
                replica.room("new", title_vector=axis(1))
                replica.shown("stranger")
            return super().prepare(room_features_NC, rooms)

    version = Replacing("one")
    put_live(replica, version)
    replica.shown("stranger")
    version.replaces = True
    replica.recommender.renew()
    rows_SH = replica.recommender._ranking._prepared["one"].rows_SH
    assert not rows_SH[replica.tables.rooms.snapshots[RoomId("new")].slot].any()
