"""An evaluation small enough to be done by hand, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from streaming.errors import ConfigError, InputFileError
from tests.unit.training.recorded_chat import Said, chat_of, crowd
from tests.unit.training.test_causality import Silent
from training.boosting import Boosting, BoostingConfig
from training.chat import Chat
from training.evaluate import EvaluateConfig, Report, evaluate
from training.rankers import Memory, MemoryAndMoves, NewcomerPopularity, Popularity, Ranker
from training.rankings import RankingsFile
from training.world import Moment

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

    def learn(self, past: list[Moment]) -> None:  # type: ignore[override]
        pass

    def score(self, moment: Moment) -> NDArray[np.float64]:
        return -moment.live_N.astype(np.float64)


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


def test_equal_scores_are_ranked_by_popularity() -> None:
    class Indifferent(Backwards):
        name = "indifferent"

        def score(self, moment: Moment) -> NDArray[np.float64]:
            return np.zeros(len(moment.live_N))

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
