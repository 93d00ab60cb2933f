"""Boosted trees see the towers as a version's ranker does, and nothing that a replica does not have; nothing later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.training.evaluation.test_causality import renamed
from tests.unit.training.recorded.recorded_chat import Parts, Silent, chat_of, crowd, visits_of
from tests.untrained import untrained
from training.boosting.ranker import Boosting, BoostingConfig
from training.evaluation.boosted_towers import BoostedTowers
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.trained_model import Learned
from training.examples.co_visit_counts import TransitionCounts
from training.features.features import COLUMN, FEATURES, SERVED
from training.features.visit_kinds import VisitKind
from training.fit.export import load_bundle
from training.fit.learner import LearnConfig
from training.fit.local_fit import HELD_OUT, FitConfig, new_model
from training.inference.served_model import Version
from training.model.batches import CandidateSets, ContentTable, training_batch
from training.model.config import EXTRA, LEARNED, RANKED, TOTALS
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits
from training.recorded.visits import kinds
from training.registry.bundle import Bundle

D = 8
SAID = crowd(5, 1500)
NUM_TRAIN = next(i for i in range(1000, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)
CONFIG = BoostingConfig(trees=20, leaves=7, min_rows_per_leaf=20, threads=1)
KNOWN = [f"c{number}" for number in range(6)]  # of eight
TALK = ContentTable(*(np.random.default_rng(3).normal(size=(2, 40, D)).astype(np.float16)))


def talk(sets: CandidateSets) -> CandidateSets:
    """A channel is about something of its own, and of something else every ten minutes."""
    ten_V = (sets.at_ms_V // 600_000).astype(np.int32)
    pasts = sets.pasts
    pasts = replace(pasts, now_VT=(pasts.streamer_VT + ten_V[:, None]) % 40, mean_VT=pasts.streamer_VT % 40)
    now_R = (sets.streamer_R + np.repeat(ten_V, sets.size_V)) % 40
    return replace(sets, now_R=now_R, mean_R=sets.streamer_R % 40, pasts=pasts, contents=TALK)


def towers_of(chat: Chat, bundle: Bundle) -> Learned:
    return Learned("given", chat, FitConfig(), seen=talk, bundle=bundle)


def known_rows(chat: Chat) -> NDArray[np.int32]:
    """The version's row of each channel, counted from 1."""
    return np.array([0, *(KNOWN.index(name) + 1 if name in KNOWN else 0 for name in chat.channels)], np.int32)


def version_of(streamers: Sequence[str] = KNOWN) -> Bundle:
    """That has learned nothing but where viewers go: everywhere from everywhere, more to the first streamers."""
    moves = TransitionCounts()
    for origin in range(1, len(streamers) + 1):
        for streamer in range(1, len(streamers) + 1):
            for _ in range(1 + len(streamers) - streamer):
                moves.visit([origin], streamer)
    bundle = untrained("given", streamers, "fake", D)
    frozen = moves.export(len(streamers) + 1)
    return Bundle(bundle.manifest, {**bundle.arrays, **frozen.arrays()}, bundle.names)


class Columns(BoostedTowers):
    """With the doors open."""

    def taught(self, visits: RecordedVisits) -> NDArray[np.float32]:
        return self._taught(visits)

    def now(self, visits: RecordedVisits) -> NDArray[np.float32]:
        return self._features(visits)

    def place(self, name: str) -> int:
        return self._names.index(name)


@pytest.fixture(scope="module")
def chat() -> Chat:
    return chat_of(SAID, NUM_TRAIN)


def usable_of(chat: Chat, folder: Path) -> Parts:
    return Parts(*(part.usable() for part in visits_of(chat, folder)))


@pytest.fixture(scope="module")
def parts(chat: Chat, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return usable_of(chat, tmp_path_factory.mktemp("visits"))


def test_it_reads_what_a_versions_ranker_reads_and_nothing_else(chat: Chat, parts: Parts) -> None:
    ranker = Columns(CONFIG, towers_of(chat, version_of()), "boosted")
    ranker.learn(parts.past)
    assert sorted(ranker.importance()) == sorted((*RANKED, *EXTRA))
    assert set(FEATURES) == set(RANKED)  # there is none that no replica can fill


def test_towers_and_codes_are_told_it_as_the_versions_ranker_learned_from_them(chat: Chat, parts: Parts) -> None:
    bundle = version_of()
    ranker = Columns(CONFIG, towers_of(chat, bundle), "boosted")
    ranker.learn(parts.past)
    some = parts.past.between(len(parts.past) - 60, len(parts.past))
    sets, row_S = talk(some.sets), known_rows(chat)
    pasts = replace(sets.pasts, streamer_VT=row_S[sets.pasts.streamer_VT])
    sets = replace(sets, streamer_R=row_S[sets.streamer_R], pasts=pasts)
    model = new_model(sets, FitConfig(), len(KNOWN))
    load_bundle(bundle, model)
    model.coded = True
    model.eval()
    with torch.no_grad():
        extra_RX = model(training_batch(sets, np.arange(len(sets)), 20)).extra_RX.numpy()
    told_RX = ranker.now(some)[:, [ranker.place(name) for name in EXTRA]]
    assert np.ptp(extra_RX[:, :4], axis=0).min() > 0.01
    assert np.abs(told_RX - extra_RX).max() < 1e-4


def test_where_only_the_towers_tell_rooms_apart_it_ranks_right_and_boosting_cannot(chat: Chat, parts: Parts) -> None:
    towers = towers_of(chat, version_of())
    towers.learn(parts.past)

    def by_towers(visits: RecordedVisits) -> RecordedVisits:
        on = towers.on(visits)
        places = range(len(visits))
        entered = [int(np.argmax(on.rooms(at).vectors_NE @ on.viewer(at).vector_E)) for at in places]
        features_RF = np.ones_like(visits.sets.features_RF)
        sets = replace(visits.sets, features_RF=features_RF, entered_V=np.array(entered, np.int32))
        return replace(visits, sets=sets)

    past, test = by_towers(parts.past), by_towers(parts.test)
    sees, blind = BoostedTowers(CONFIG, towers, "sees"), Boosting(CONFIG)
    for ranker in (sees, blind):
        ranker.learn(past)
    score_R, start_V, size_V = sees.score(test), test.sets.starts(), test.sets.size_V
    best = [int(np.argmax(score_R[start : start + size])) for start, size in zip(start_V, size_V, strict=True)]
    assert np.mean(np.array(best) == test.sets.entered_V) > 0.6  # a streamer taken for nobody is not told by the towers
    assert np.ptp(blind.score(test)) == 0


def altered(visits: RecordedVisits, names: Sequence[str]) -> RecordedVisits:
    features_RF = visits.sets.features_RF.copy()
    columns = [COLUMN[name] for name in names]
    features_RF[:, columns] = np.random.default_rng(1).normal(size=(len(features_RF), len(columns)))
    return replace(visits, sets=replace(visits.sets, features_RF=features_RF))


def test_what_was_counted_until_a_visit_changes_no_score(chat: Chat, parts: Parts) -> None:
    ranker = BoostedTowers(CONFIG, towers_of(chat, version_of()), "boosted")
    ranker.learn(parts.past)
    offline = [name for name in FEATURES if name not in SERVED]
    assert np.array_equal(ranker.score(parts.test), ranker.score(altered(parts.test, offline)))
    assert (ranker.score(parts.test) != ranker.score(altered(parts.test, SERVED))).any()


def test_moves_and_totals_are_of_the_time_before_a_visit_that_teaches_and_frozen_where_it_ranks(
    chat: Chat, parts: Parts
) -> None:
    bundle = version_of()
    ranker = Columns(CONFIG, towers_of(chat, bundle), "boosted")
    ranker.learn(parts.past)
    counted = (*LEARNED, *TOTALS)
    places, columns = [ranker.place(name) for name in counted], [COLUMN[name] for name in counted]
    some = parts.past.between(len(parts.past) - 200, len(parts.past))
    taught_RK = ranker.taught(some)
    known_R, nobody_R = known_rows(chat)[some.sets.streamer_R] > 0, np.isnan(taught_RK[:, places[-1]])
    assert np.array_equal(taught_RK[~nobody_R][:, places], some.sets.features_RF[~nobody_R][:, columns])
    assert (taught_RK[nobody_R][:, places[: len(LEARNED)]] == 0).all()
    assert nobody_R[~known_R].all()
    assert (taught_RK[nobody_R, ranker.place("gate")] == gate_of_nobody(bundle)).all()
    assert 0.15 < nobody_R[known_R].mean() < 0.25
    row_R = known_rows(chat)[parts.test.sets.streamer_R]
    totals_RK = ranker.now(parts.test)[:, places[len(LEARNED) :]]
    assert np.array_equal(totals_RK[row_R > 0], bundle.arrays["transitions.totals_S3"][row_R[row_R > 0]])
    assert np.isnan(totals_RK[row_R == 0]).all()


def gate_of_nobody(bundle: Bundle) -> np.float32:
    there_1D = np.ones((1, D), np.float32)
    return np.float32(Version(bundle).embed_rooms(["nobody"], there_1D, there_1D).content_gate_N[0])


def test_it_learns_from_the_visits_that_the_towers_have_not_seen(chat: Chat, parts: Parts) -> None:
    taught: list[int] = []

    class Noting(BoostedTowers):
        def _taught(self, visits: RecordedVisits) -> NDArray[np.float32]:
            taught.extend(visits.message_V.tolist())
            return super()._taught(visits)

    past = parts.past
    Noting(CONFIG, towers_of(chat, version_of()), "boosted").learn(past)
    until = len(past) - int(len(past) * HELD_OUT)
    assert taught == past.message_V[-(-until // 2) :].tolist()


def test_it_scores_to_the_bit_as_lightgbm_does(chat: Chat, parts: Parts) -> None:
    ranker = Columns(CONFIG, towers_of(chat, version_of()), "boosted")
    ranker.learn(parts.past)
    assert ranker._booster is not None
    expected_R = ranker._booster.predict(ranker.now(parts.test), num_threads=1)
    assert np.array_equal(ranker.score(parts.test), np.asarray(expected_R))


def test_what_happens_later_changes_nothing_of_what_it_learns_from_and_ranks_by(
    chat: Chat, parts: Parts, tmp_path: Path
) -> None:
    original = Columns(CONFIG, towers_of(chat, version_of()), "original")
    original.learn(parts.past)
    for part, columns, at in ((0, Columns.taught, 800), (1, Columns.now, 1250)):
        cut = next(i for i in range(at, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)
        changed = chat_of([*SAID[:cut], *renamed(SAID[cut:])], NUM_TRAIN)
        ranker = Columns(CONFIG, towers_of(changed, version_of()), "changed")
        ranker.learn(parts.past)
        visits, others = parts[part], usable_of(changed, tmp_path)[part]
        before = int(np.searchsorted(visits.message_V, cut))
        assert others.message_V[:before].tolist() == visits.message_V[:before].tolist()
        assert others.message_V[before] >= cut
        assert before > 50
        rows = int(visits.sets.size_V[:before].sum())
        before_RF, after_RF = columns(original, visits), columns(ranker, others)
        # Not to the bit: a product of more rows is summed in another order.
        assert np.allclose(before_RF[:rows], after_RF[:rows], rtol=0, atol=1e-5, equal_nan=True)
        assert before_RF.shape != after_RF.shape or not np.allclose(before_RF, after_RF, equal_nan=True)


def test_one_version_learns_for_both_and_knows_the_training_part_alone(chat: Chat) -> None:
    config = FitConfig(learn=LearnConfig(batch=64, ranker_epochs=1))
    steps: list[int] = []
    alone = Learned("tidecast", chat, config, seen=talk, on_step=lambda step, _: steps.append(step.step))
    boosted = BoostedTowers(CONFIG, alone, "boosting + towers")
    report = evaluate(chat, [alone, boosted], EvaluateConfig(train_visits=200, against="tidecast"), Silent())
    assert steps == list(range(1, len(steps) + 1))
    assert list(report.results["boosting + towers"].differences["all"])
    for result in report.results.values():
        assert 0 < result.request_us < result.score_us
    assert alone.bundle is not None
    kind_M = kinds(chat)[:NUM_TRAIN]
    entered = [chat.channels[channel] for channel in chat.channel_M[:NUM_TRAIN][kind_M != VisitKind.NO_VISIT]]
    counted = [entered.count(streamer) for streamer in alone.bundle.names["streamers"]]
    assert alone.bundle.arrays["transitions.totals_S3"][1:, 0].tolist() == counted
