"""What was shown reaches the log as it was shown; what cannot is dropped, counted, and never in an answer's way."""

from __future__ import annotations

import threading

import pytest

from actors.recommend.impressions import Impressions, ImpressionWriter
from actors.recommend.recommender import Query, Recommender
from actors.settings import RecommendConfig
from streaming.errors import ConfigError
from streaming.events import Impression
from streaming.log.codec import Decoder
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.partitioner import partition_of
from streaming.log.topics import IMPRESSIONS
from streaming.metrics import MemoryMetrics
from tests.unit.actors.replica import Replica

PARTITIONS = 2


class Stopping(threading.Event):
    """A stop whose waits take no time; it comes with the wait number `after`."""

    def __init__(self, after: int = 1_000_000) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return len(self.waits) >= self._after


class Stage:
    """A replica with three rooms that notes what it shows, a log, and the writer between them."""

    def __init__(self, share: float = 1.0, most: int = 100) -> None:
        self.replica = Replica()
        for room in ("a", "b", "c"):
            self.replica.room(room)
        self.log = MemoryLog(self.replica.clock, {IMPRESSIONS: PARTITIONS})
        self.metrics = MemoryMetrics()
        self.impressions = Impressions(share, most)
        self.recommender = Recommender(
            self.replica.tables, RecommendConfig(), self.metrics, self.replica.clock, self.impressions
        )
        self.writer = ImpressionWriter(self.log, self.impressions, self.metrics)
        self.stop = Stopping()

    def ask(self, times: int = 1) -> None:
        for number in range(times):
            self.recommender.recommend_json(Query(viewer=f"v{number}"))

    def written(self) -> list[Impression]:
        lines = [line for at in range(PARTITIONS) for line in self.log.read(Partition(IMPRESSIONS, at), 0, 10_000)]
        for line in lines:
            assert line.key is not None
            assert line.partition == partition_of(line.key, PARTITIONS)
        return [Decoder(IMPRESSIONS)(line.value) for line in lines if line.value is not None]

    def count(self, outcome: str) -> float:
        return self.metrics.value("impressions_total", outcome=outcome)


def test_an_impression_says_what_the_answer_said() -> None:
    stage = Stage()
    answer = stage.recommender.recommend(Query(viewer="v", limit=2))
    assert stage.writer.write(stage.stop)
    assert stage.written() == [
        Impression(
            request_id=answer.request_id,
            viewer=answer.viewer,  # type: ignore[arg-type]
            rooms=tuple(item.room for item in answer.rooms),  # type: ignore[misc]
            scores=tuple(item.score for item in answer.rooms),
            propensities=(1.0, 1.0),
            model_version="v0",
            at_ms=answer.generated_at_ms,
            sources=tuple(item.source for item in answer.rooms),
        )
    ]


def test_positions_of_a_later_page_go_on_where_the_one_before_ended_also_where_its_rooms_have_ended() -> None:
    stage = Stage()
    first = stage.recommender.recommend(Query(viewer="v", limit=2, cursor=""))
    stage.replica.room(first.rooms[0].room, status="ended", ended_at_ms=stage.replica.clock.now_ms())
    assert isinstance(first.cursor, str)
    stage.recommender.recommend_json(Query(viewer="v", limit=2, cursor=first.cursor))
    stage.writer.write(stage.stop)
    shown = [(impression.first_position, len(impression.rooms)) for impression in stage.written()]
    assert shown == [(1, 2), (3, 1)]


def test_an_answer_and_its_impression_have_the_id_of_the_request_or_one_of_their_own() -> None:
    stage = Stage()
    given = stage.recommender.recommend(Query(viewer="v"), "of-the-caller")
    own = [stage.recommender.recommend(Query(viewer="v")).request_id for _ in range(2)]
    stage.writer.write(stage.stop)
    assert given.request_id == "of-the-caller"
    assert [impression.request_id for impression in stage.written()] == ["of-the-caller", *own]
    assert len({*own}) == 2


def test_a_written_answer_is_noted_like_any_other_and_an_empty_one_is_not() -> None:
    stage = Stage()
    stage.ask(3)
    stage.recommender.recommend_json(Query(viewer="v", exclude=["a", "b", "c"]))
    stage.writer.write(stage.stop)
    assert sorted(impression.viewer for impression in stage.written()) == ["v0", "v1", "v2"]
    assert all(set(impression.rooms) == {"a", "b", "c"} for impression in stage.written())
    assert stage.count("written") == 3


def test_a_full_queue_drops_what_is_new_and_counts_it() -> None:
    stage = Stage(most=5)
    stage.ask(8)
    stage.writer.write(stage.stop)
    assert stage.count("dropped") == 3
    assert {impression.viewer for impression in stage.written()} == {f"v{number}" for number in range(5)}
    stage.ask(1)
    stage.writer.write(stage.stop)
    assert stage.count("dropped") == 3
    assert len(stage.written()) == 6


def test_with_the_log_away_answers_go_on_and_what_waits_is_written_when_it_is_back() -> None:
    stage = Stage(most=5)
    stage.ask(1)
    stage.writer.write(stage.stop)
    stage.log.pause()
    stage.ask(2)
    assert not stage.writer.write(stage.stop)  # sent, and never acknowledged
    stage.ask(7)
    stage.log.resume()
    assert stage.writer.write(stage.stop)
    assert (stage.count("lost"), stage.count("dropped"), stage.count("written")) == (2, 2, 6)
    assert len(stage.written()) == 6


def test_it_tries_a_log_that_failed_less_often() -> None:
    stage = Stage()
    stage.stop = Stopping(after=2)
    stage.log.pause()
    stage.ask(1)
    stage.writer = ImpressionWriter(Unopened(stage.log), stage.impressions, stage.metrics)
    stage.writer.run(stage.stop)
    quiet, failed = stage.stop.waits[0], stage.stop.waits[1]
    assert quiet is not None
    assert failed is not None
    assert failed > quiet
    assert len(stage.impressions) == 1  # nothing is taken before there is a sink to give it to


class Unopened(MemoryLog):
    """A log whose sinks cannot be opened while it is paused, as Kafka's cannot."""

    def __init__(self, log: MemoryLog) -> None:
        self._inner = log

    def sink(self, transactional_id: str | None = None):  # type: ignore[no-untyped-def]
        self._inner.require_available()
        return self._inner.sink(transactional_id)


def test_stopping_writes_what_is_left() -> None:
    stage = Stage(most=1_000)
    stage.writer.start()
    stage.ask(200)
    assert stage.writer.stop(5)
    assert len(stage.written()) == 200


def test_an_error_that_nobody_foresaw_does_not_end_the_writer() -> None:
    stage = Stage()
    stage.ask(2)
    opened, stage.log.sink = stage.log.sink, None  # type: ignore[method-assign, assignment]
    assert not stage.writer.write(stage.stop)
    stage.log.sink = opened  # type: ignore[method-assign]
    assert stage.writer.write(stage.stop)
    assert len(stage.written()) == 2


def test_a_share_is_noted_at_random() -> None:
    stage = Stage(share=0.25, most=10_000)
    stage.ask(2_000)
    assert 400 < len(stage.impressions) < 600
    none = Stage(share=0)
    none.ask(100)
    assert len(none.impressions) == 0


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_of_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=r"recommend\.impressions is"):
        RecommendConfig(impressions=share)
