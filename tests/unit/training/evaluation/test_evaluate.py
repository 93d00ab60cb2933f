"""An evaluation small enough to be done by hand, and what it refuses."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from streaming.errors import ConfigError, InputFileError
from tests.unit.training.recorded.recorded_chat import Said, Silent, chat_of, crowd
from training.boosting.ranker import Boosting, BoostingConfig
from training.evaluation.baselines import Memory, MemoryAndMoves, NewcomerPopularity, Popularity, Ranker
from training.evaluation.cold_start import cold_streamers, kept, kept_without
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.rankings_file import RankingsFile
from training.evaluation.report import Report
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits
from training.recorded.visits import kinds

# Messages before the test: a 3, b 2, c 1, all by others; v was in c, then in b, and writes in b no more.
PAST = [
    Said(0, "c", "v"),
    Said(10, "b", "v"),
    Said(2000, "a", "o1"),
    Said(2001, "a", "o1"),
    Said(2002, "a", "o2"),
    Said(2003, "b", "o3"),
    Said(2004, "b", "o3"),
    Said(2005, "c", "o4"),
]
TEST = [
    Said(2010, "c", "v"),  # repeat: popularity ranks it 3rd (a 3, b 2, c 1), memory 2nd (b was visited later)
    Said(2011, "a", "v"),  # new: by popularity 1st (a 3, then b 2 = c 2); memory puts b first and c, where v is, last
    Said(2012, "b", "n"),  # cold: a 4, then b and c with 2 messages each in any of the spans
]


class Backwards:
    """Ranks c before b before a: in this file, the channels as they are first seen."""

    name = "backwards"

    def learn(self, past: RecordedVisits) -> None:
        pass

    def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
        return -visits.channel_R.astype(np.float64)


def run(chat: Chat, *rankers: Ranker) -> Report:
    return evaluate(chat, rankers, EvaluateConfig(), Silent())


def figure(report: Report, ranker: str, group: str, metric: str) -> float:
    return report.results[ranker].groups[group].metrics[metric].mean


def test_every_figure_of_a_small_recording_is_what_a_hand_computes() -> None:
    popularity = Popularity("messages_60s")
    popularity.learn = lambda past: None  # type: ignore[method-assign]  # ties are the same in every span here
    report = run(chat_of(PAST + TEST, len(PAST)), popularity, Memory(popularity), Backwards())
    assert (report.test_visits, report.test_viewers, report.surprises, report.mean_live) == (3, 2, 0, 3)
    assert (report.train_visits, report.learned_visits) == (6, 3)
    assert {kind: group.visits for kind, group in report.results["popularity"].groups.items()} == {
        "all": 3,
        "repeat": 1,
        "new": 1,
        "cold": 1,
    }
    assert figure(report, "popularity", "repeat", "NDCG@10") == pytest.approx(1 / math.log2(4))
    assert figure(report, "popularity", "repeat", "MRR") == pytest.approx(1 / 3)
    assert figure(report, "popularity", "repeat", "Recall@10") == 1
    assert figure(report, "popularity", "new", "Recall@1") == 1
    assert figure(report, "memory", "repeat", "MRR") == pytest.approx(1 / 2)
    assert figure(report, "memory", "new", "MRR") == pytest.approx(1 / 2)  # b, a, and c, where v is, last
    assert figure(report, "backwards", "repeat", "MRR") == 1
    assert figure(report, "backwards", "new", "MRR") == pytest.approx(1 / 3)
    assert figure(report, "backwards", "all", "MRR") == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert figure(report, "backwards", "all", "NDCG@10") == pytest.approx((1 + 1 / 2 + 1 / math.log2(3)) / 3)
    histories = report.results["backwards"].histories
    assert (histories["0 to 99"].visits, histories["100 to 999"].visits) == (3, 0)


class Together(Backwards):
    """Has learned once another, which learns in the other thread, has begun to."""

    def __init__(self, meeting: threading.Barrier, *, beside: bool) -> None:
        self.name, self.learns_beside = f"together {beside}", beside
        self._meeting = meeting

    def learn(self, past: RecordedVisits) -> None:
        self._meeting.wait(10)


class Failing(Backwards):
    learns_beside = True

    def learn(self, past: RecordedVisits) -> None:
        raise ConfigError("too little of everything")


def test_what_can_learn_beside_others_does_and_what_fails_there_is_raised() -> None:
    chat, meeting = chat_of(PAST + TEST, len(PAST)), threading.Barrier(2)
    run(chat, Together(meeting, beside=True), Together(meeting, beside=False))
    with pytest.raises(ConfigError, match="too little of everything"):
        run(chat, Failing(), Backwards())


def test_equal_scores_are_ranked_by_popularity() -> None:
    class Indifferent(Backwards):
        name = "indifferent"

        def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
            return np.zeros(len(visits.channel_R))

    report = run(chat_of(PAST + TEST, len(PAST)), Indifferent())
    assert figure(report, "indifferent", "repeat", "MRR") == pytest.approx(1 / 3)
    assert figure(report, "indifferent", "new", "MRR") == 1


def test_the_same_seed_gives_the_same_report_but_for_the_time_it_took() -> None:
    def figures() -> list[object]:
        popularity = Popularity()
        boosting = Boosting(BoostingConfig(trees=5, min_rows_per_leaf=20, threads=1))
        report = run(
            chat_of(crowd(2, 1000), 700), popularity, NewcomerPopularity(), MemoryAndMoves(popularity), boosting
        )
        return [(result.groups, result.histories, result.spread) for result in report.results.values()]

    assert figures() == figures()


def test_boosting_learns_where_viewers_go_better_than_popularity() -> None:
    boosting = Boosting(BoostingConfig(trees=30, leaves=7, min_rows_per_leaf=20, threads=1))
    report = run(chat_of(crowd(4, 1500), 1200), Popularity(), boosting)
    assert figure(report, "boosting", "all", "NDCG@10") > 0.1 + figure(report, "popularity", "all", "NDCG@10")
    assert sum(boosting.importance().values()) == pytest.approx(1)


def test_where_viewers_went_orders_the_channels_that_a_viewer_does_not_know() -> None:
    """From c, newcomers to the others go to the least popular of them, and seldom elsewhere."""
    said: list[Said] = []
    for i in range(400):
        at_s = 3000.0 * i
        said += [Said(at_s + 10, "c", f"v{i}"), Said(at_s + 11, "small", "regular")]
        said += [Said(at_s + 15 + j / 10, "popular", f"crowd{j}") for j in range(5)]
        said += [Said(at_s + 20, "small" if i % 10 else "popular", f"v{i}")]
    popularity = Popularity()
    memory, moves = Memory(popularity), MemoryAndMoves(popularity, prior=3.0)
    report = run(chat_of(said, 300 * 8), memory, moves)
    assert moves.prior == 0.1
    assert figure(report, "memory", "new", "Recall@1") == pytest.approx(0.1)
    assert figure(report, "memory + transitions", "new", "Recall@1") == pytest.approx(0.9)
    assert figure(report, "memory", "repeat", "MRR") == figure(report, "memory + transitions", "repeat", "MRR")


def test_what_builds_on_popularity_has_it_learn() -> None:
    popularity, alone = Popularity(), Popularity()
    chat = chat_of(crowd(2, 1000), 700)
    run(chat, Memory(popularity))
    run(chat, alone)
    assert popularity.column == alone.column


def test_rankings_are_a_row_a_visit_from_which_the_figures_follow(tmp_path: Path) -> None:
    chat = chat_of(PAST + TEST, len(PAST))
    with RankingsFile(tmp_path / "r.parquet", chat) as rankings:
        report = evaluate(chat, [Backwards()], EvaluateConfig(), Silent(), sinks={"backwards": rankings})
    table = pyarrow.parquet.read_table(tmp_path / "r.parquet")
    assert table.column_names == ["at", "viewer", "entered", "ranked", "live"]
    assert str(table.schema.field("at").type) == "timestamp[us]"
    rows = table.to_pylist()
    assert [row["viewer"] for row in rows] == ["v", "v", "n"]
    assert [row["entered"] for row in rows] == ["c", "a", "b"]
    assert rows[0]["ranked"] == ["c", "b", "a"]
    mrr = sum(1 / (row["ranked"].index(row["entered"]) + 1) for row in rows) / 3
    assert mrr == pytest.approx(figure(report, "backwards", "all", "MRR"))


def test_rankings_that_fail_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RankingsFile(tmp_path / "r.parquet", chat_of(PAST, 1)):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_ranker_is_compared_with_the_reference_where_it_is_evaluated() -> None:
    chat, popularity = chat_of(crowd(2, 1000), 700), Popularity()
    config = EvaluateConfig(against="popularity")
    report = evaluate(chat, [popularity, Memory(popularity)], config, Silent())
    assert report.against == "popularity"
    assert not report.results["popularity"].differences
    difference = report.results["memory"].differences["all"]["MRR"].mean
    expected = figure(report, "memory", "all", "MRR") - figure(report, "popularity", "all", "MRR")
    assert difference == pytest.approx(expected)
    alone = evaluate(chat, [Memory(popularity)], config, Silent())
    assert (alone.against, alone.results["memory"].differences) == ("", {})


def test_visits_that_alone_make_a_room_live_are_reported_apart() -> None:
    report = run(chat_of([*PAST, *TEST, Said(2900, "d", "x"), Said(2901, "d", "y")], len(PAST)), Backwards())
    apart = report.results["backwards"].apart
    assert report.surprises == apart["not live before"].visits == 1
    assert apart["first 10 minutes"].visits == 5  # also those of rooms that began at 2000 and later, after a silence


def test_a_ranker_learns_from_visits_before_the_test_and_ranks_all_of_the_test_in_order() -> None:
    chat = chat_of(crowd(2, 1000), 700)

    class Following(Backwards):
        name = "following"
        learned: RecordedVisits
        scored: ClassVar[list[int]] = []

        def learn(self, past: RecordedVisits) -> None:
            self.learned = past

        def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
            self.scored.extend(visits.message_V.tolist())
            return super().score(visits)

    following = Following()
    report = evaluate(chat, [following], EvaluateConfig(train_visits=60), Silent())
    kind_M = kinds(chat)
    assert following.scored == (700 + np.flatnonzero(kind_M[700:] >= 0)).tolist()
    visits = np.flatnonzero(kind_M[:700] >= 0)
    learned_V = following.learned.message_V
    assert len(learned_V) == report.learned_visits == 60
    assert np.isin(learned_V, visits[len(visits) // 2 :]).all()
    assert (np.diff(learned_V) > 0).all()


def test_held_out_streamers_teach_nothing_and_are_reported_apart() -> None:
    class Watching(Backwards):
        name = "watching"

        def learn(self, past: RecordedVisits) -> None:
            self.learned = set(past.channel_R.tolist())

    whole, watching = chat_of(crowd(2, 3000), 2000), Watching()
    cold_C = cold_streamers(whole.channels, 0.3)
    assert 0 < cold_C.sum() < len(cold_C)
    chat = kept(whole, kept_without(whole, cold_C))
    assert chat.num_train < whole.num_train
    assert len(whole.at_us_M) - whole.num_train == len(chat.at_us_M) - chat.num_train
    report = evaluate(chat, [watching], EvaluateConfig(), Silent(), cold_C=cold_C)
    assert not watching.learned & set(np.flatnonzero(cold_C).tolist())
    assert report.cold_streamers == cold_C.sum()
    apart = report.results["watching"].apart
    kind_M, cold_M = kinds(chat), cold_C[chat.channel_M]
    assert apart["held-out streamers"].visits == np.count_nonzero(
        (kind_M >= 0)[chat.num_train :] & cold_M[chat.num_train :]
    )
    young = apart["held out, 10 minutes"].visits
    assert 0 < young < apart["held-out streamers"].visits


def test_holding_out_every_streamer_is_refused() -> None:
    with pytest.raises(InputFileError, match="smaller share"):
        kept_without(chat_of(PAST + TEST, len(PAST)), np.ones(3, bool))


def test_which_streamers_are_held_out_depends_on_their_names_alone() -> None:
    names = [f"streamer{i}" for i in range(2000)]
    cold_C = cold_streamers(names, 0.2)
    assert cold_C.mean() == pytest.approx(0.2, abs=0.03)
    assert np.array_equal(cold_streamers(names[::-1], 0.2), cold_C[::-1])
    assert not cold_streamers(names, 0).any()
    assert cold_streamers(names, 1).all()


@pytest.mark.parametrize(
    ("said", "num_train", "message"),
    [
        ([Said(0, "a", "v"), Said(1, "a", "w"), Said(2, "a", "x")], 1, "only one channel"),
        ([Said(0, "a", "v"), Said(1, "b", "w"), Said(2, "b", "w")], 2, "no visits"),
        ([Said(0, "a", "v"), Said(1, "b", "w"), Said(2, "b", "v"), Said(3, "a", "v")], 2, "one viewer only"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(said: list[Said], num_train: int, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        run(chat_of(said, num_train), Popularity())


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError):
        EvaluateConfig(train_visits=0)
    with pytest.raises(ConfigError):
        BoostingConfig(leaves=1)
