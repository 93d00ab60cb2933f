"""Tests of rooms shown and not entered: they sink, come back, and never leave a page empty. Never a broker."""

from __future__ import annotations

import msgspec
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Query, Recommender
from actors.recommend.schema import Answer, Item, RankAnswer, RankQuery
from actors.settings import RecommendConfig
from actors.state.shown_memory import SEEN
from actors.state.shown_queue import ShownQueue
from actors.state.shown_reader import ShownReader
from streaming.log.log import Batch, Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import SHOWN_ROOMS, VIEWER_PROFILES
from tests.unit.actors.recommend.test_forgotten import erased
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis
from tests.untrained import untrained
from training.inference.served_model import Version

ON = RecommendConfig(shown_cost=1.0, shown_most_cost=3.0, shown_half_life_s=600.0)


class Shown(Replica):
    """A replica with forty rooms, of which `first` is the largest, that knows what it has shown."""

    def __init__(self, config: RecommendConfig = ON, name: str = "a") -> None:
        super().__init__(config=config)
        self.queue = ShownQueue(name, 100)
        self.impressions = Impressions(1.0, 1_000)
        self.recommender = Recommender(
            self.tables, config, self.metrics, self.clock, self.impressions, shown=self.queue
        )
        for number in range(39):
            self.room(f"r{number:02}", title_vector=axis(number % AXES), entered=38 - number, category=f"c{number}")
        self.room("first", entered=900, title_vector=axis(1), category="c")

    def item(self, room: str, viewer: str = "v", **query: object) -> Item:
        asked = Query(viewer=viewer, limit=100, explain=True, shown=False, **query)  # type: ignore[arg-type]
        return next(item for item in self.recommender.recommend(asked).rooms if item.room == room)

    def page(self, viewer: str) -> None:
        """Shows the viewer twenty rooms, always the same."""
        self.shown(viewer, exclude=[f"r{number:02}" for number in range(19, 39)])

    def tell(self, other: Shown) -> None:
        """Brings to another replica what waits here, as the log does."""
        memory = other.recommender.shown
        assert memory is not None
        reader = ShownReader(
            MemoryLog(other.clock, {SHOWN_ROOMS: 1}), memory.table, other.tables, other.metrics, other.queue.writer
        )
        records = [MemoryRecord(SHOWN_ROOMS, 0, n, 0, key, value) for n, (key, value) in enumerate(self.queue.take(99))]
        reader.apply(Batch(records={Partition(SHOWN_ROOMS, 0): records}))


def test_what_was_shown_sinks_and_what_it_lost_halves() -> None:
    replica = Shown()
    before = replica.item("first")
    assert "shown" not in before.terms  # type: ignore[operator]
    assert replica.shown("v", limit=3)[0] == "first"
    once = replica.item("first")
    assert once.terms["shown"] == pytest.approx(-1, abs=2e-3)  # type: ignore[index]
    assert before.score - once.score == pytest.approx(1, abs=0.05)
    assert sum(once.terms.values()) == pytest.approx(once.score, abs=2e-4)  # type: ignore[union-attr]
    assert once.reason == "popular now; lowered, for it was shown before and not entered"
    assert replica.shown("v", limit=3, shown=False)[0] != "first"
    replica.clock.advance(600_000)
    assert replica.item("first").terms["shown"] == pytest.approx(-0.5, abs=2e-3)  # type: ignore[index]
    replica.clock.advance(6_000_000)
    assert replica.shown("v", limit=3, shown=False)[0] == "first"
    assert replica.shown("other", limit=3)[0] == "first"


def test_it_comes_back_before_the_page_is_empty() -> None:
    replica = Shown()
    rooms = {f"r{number:02}" for number in range(39)} | {"first"}
    for _ in range(10):
        assert len(replica.shown("v", limit=20)) == 20
        assert set(replica.shown("v", limit=100)) == rooms
    assert replica.item("first").terms["shown"] == pytest.approx(-3, abs=3e-3)  # type: ignore[index]
    assert replica.shown("v", limit=3, shown=False)[0] == "first"  # all have lost the same


def test_an_answer_that_nobody_sees_changes_nothing() -> None:
    replica = Shown()
    for _ in range(5):
        assert replica.shown("v", limit=5, shown=False)[0] == "first"
    assert len(replica.impressions) == len(replica.queue) == 0
    replica.shown("v", limit=5)
    assert len(replica.impressions) == len(replica.queue) == 1


def test_a_list_that_is_watched_is_noted_and_does_not_sink() -> None:
    replica = Shown()
    for _ in range(3):
        body = replica.recommender.recommend_news(Query(viewer="v", limit=5), 1, lambda _: True)
        assert msgspec.json.decode(body or b"", type=Answer).rooms[0].room == "first"
    assert (len(replica.impressions), len(replica.queue)) == (3, 0)
    assert "shown" not in replica.item("first").terms  # type: ignore[operator]


def test_only_a_page_counts_as_shown() -> None:
    replica = Shown()
    order = replica.shown("v", limit=40)
    lowered = {item.room for item in replica.recommender.recommend(
        Query(viewer="v", limit=100, explain=True, shown=False)).rooms if "shown" in item.terms}  # fmt: skip  # type: ignore[operator]
    assert lowered == set(order[:SEEN])


def test_to_enter_a_room_ends_what_it_lost() -> None:
    replica = Shown()
    replica.shown("v")
    replica.clock.advance(1_000)
    replica.viewer("v", "first")
    assert "shown" not in replica.item("first").terms  # type: ignore[operator]
    assert "shown" in replica.item("r01").terms  # type: ignore[operator]
    replica.clock.advance(1_000)
    replica.shown("v")
    assert replica.item("first").terms["shown"] == pytest.approx(-1, abs=2e-3)  # type: ignore[index]


def test_other_replicas_know_what_was_shown_and_entered_and_count_it_once() -> None:
    here, there = Shown(), Shown(name="b")
    for _ in range(3):
        here.page("v")
    here.tell(there)
    assert there.item("first").terms["shown"] == pytest.approx(-3, abs=5e-3)  # type: ignore[index]
    here.clock.advance(1_000)
    here.viewer("v", "first")
    here.page("v")
    here.shown("v", exclude=["first"])
    here.tell(there)  # there the profile is not read yet
    assert there.item("first").terms["shown"] == pytest.approx(-1, abs=5e-3)  # type: ignore[index]
    assert here.item("first").terms["shown"] == pytest.approx(-1, abs=5e-3)  # type: ignore[index]
    here.shown("w")
    here.tell(here)
    assert here.item("first", viewer="w").terms["shown"] == pytest.approx(-1, abs=5e-3)  # type: ignore[index]


def test_what_cannot_be_read_is_counted_and_passed_over() -> None:
    replica = Shown()
    memory = replica.recommender.shown
    assert memory is not None
    reader = ShownReader(MemoryLog(replica.clock, {SHOWN_ROOMS: 1}), memory.table, replica.tables, replica.metrics, "b")
    bad = [b"nonsense", msgspec.msgpack.encode([1, "x", b"1234567", b"", 5]), None]
    records = [MemoryRecord(SHOWN_ROOMS, 0, n, 0, b"v", value) for n, value in enumerate(bad)]
    reader.apply(Batch(records={Partition(SHOWN_ROOMS, 0): records}))
    assert replica.metrics.value("undecodable_total", topic=SHOWN_ROOMS) == 3
    assert len(memory.table) == 0


def test_too_many_that_wait_are_dropped_and_counted() -> None:
    replica = Shown()
    for number in range(120):
        replica.shown(f"v{number}")
    assert (len(replica.queue), replica.queue.dropped) == (100, 20)
    assert len(replica.queue.take(60)) == 60
    assert len(replica.queue) == 40


@pytest.mark.parametrize("how", ["mark", "tombstone"])
def test_of_a_forgotten_viewer_nothing_is_kept(how: str) -> None:
    replica = Shown()
    replica.tables.current = True
    replica.viewer("v", "r03")
    replica.shown("v")
    replica.send(VIEWER_PROFILES, "v", erased() if how == "mark" else None)
    assert len(replica.queue) == 0
    assert "shown" not in replica.item("first").terms  # type: ignore[operator]
    other = Shown(name="b")
    other.shown("v")
    other.tell(replica)  # it was under way
    assert "shown" not in replica.item("first").terms  # type: ignore[operator]


def test_with_a_model_a_third_of_the_loss_is_in_log_odds() -> None:
    replica = Shown()
    put_live(replica, Version(untrained("one", [f"streamer of r{n:02}" for n in range(39)], "test", AXES)))
    before = replica.item("first")
    for _ in range(3):
        replica.page("v")
    after = replica.item("first")
    assert after.terms["shown"] == pytest.approx(-1, abs=2e-3)  # type: ignore[index]
    assert after.score < before.score


def test_given_rooms_have_the_score_of_a_recommendation_and_are_not_noted() -> None:
    replica = Shown()
    replica.shown("v")
    given = GivenRooms(replica.recommender)
    for _ in range(2):
        answer = msgspec.json.decode(
            given.rank_json(RankQuery(viewer="v", rooms=("first", "r38"), explain=True)), type=RankAnswer
        )
        found = {item.room: item for item in answer.rooms}
        assert found["first"].score == pytest.approx(replica.item("first").score, abs=2e-4)
        assert found["first"].terms["shown"] == pytest.approx(-1, abs=2e-3)  # type: ignore[index]


def test_an_ended_room_that_was_shown_is_in_no_answer() -> None:
    replica = Shown()
    replica.shown("v")
    replica.room("first", status="ended")
    assert "first" not in replica.shown("v", limit=100)
    assert replica.metrics.value("dead_rooms_returned_total") == 0


def test_off_nothing_is_noted_and_answers_do_not_change() -> None:
    replica = Shown(RecommendConfig())
    first = replica.shown("v", limit=20)
    for _ in range(3):
        assert replica.shown("v", limit=20) == first
    assert replica.recommender.shown is None
    assert len(replica.queue) == 0


def test_the_same_is_written_as_is_returned() -> None:
    replica = Shown()
    replica.shown("v")
    query = Query(viewer="v", shown=False)
    assert [
        item.room for item in msgspec.json.decode(replica.recommender.recommend_json(query), type=Answer).rooms
    ] == [item.room for item in replica.recommender.recommend(query).rooms]
