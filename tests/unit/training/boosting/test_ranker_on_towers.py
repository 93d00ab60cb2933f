"""Boosted trees see the towers as a version's ranker does, and nothing that a replica does not have; nothing later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.training.evaluation.test_causality import Silent, renamed
from tests.unit.training.recorded.recorded_chat import chat_of, crowd
from tests.untrained import untrained
from training.boosting.ranker import Boosting, BoostingConfig
from training.boosting.ranker_on_towers import BoostedTowers
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.trained_model import Learned
from training.examples.co_visit_counts import TransitionCounts
from training.features.features import COLUMN, FEATURES, SERVED
from training.features.visit_kinds import VisitKind
from training.fit.export import load_bundle
from training.fit.learner import LearnConfig
from training.fit.local_fit import HELD_OUT, FitConfig, new_model
from training.inference.served_model import Version
from training.model.batches import training_batch
from training.model.config import EXTRA, LEARNED, RANKED, TOTALS
from training.recorded.candidate_batches import NoContent, channel_labels, find_visits, rows_of, slates_of
from training.recorded.chat import Chat
from training.recorded.content_timeline import ContentRows
from training.recorded.replay_state import Moment, moments
from training.recorded.visits import kinds
from training.registry.bundle import Bundle

D = 8
SAID = crowd(5, 1500)
NUM_TRAIN = next(i for i in range(1000, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)
CONFIG = BoostingConfig(trees=20, leaves=7, min_rows_per_leaf=20, threads=1)
KNOWN = [f"c{number}" for number in range(6)]  # of eight
Parts = tuple[list[Moment], list[Moment]]


class Talk(NoContent):
    """A channel is about something of its own, and of something else every ten minutes."""

    def __init__(self) -> None:
        super().__init__(D)
        rng = np.random.default_rng(3)
        self.now_RD, self.mean_RD = (rng.normal(size=(40, D)).astype(np.float16) for _ in range(2))

    def rows(self, channels_N: NDArray[np.intp], at_us: int | NDArray[np.int64]) -> ContentRows:
        return ContentRows((channels_N + at_us // 600_000_000) % 40, channels_N % 40)


def towers_of(chat: Chat, bundle: Bundle) -> Learned:
    return Learned("given", chat, Talk(), FitConfig(), bundle=bundle)


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


def visits_of(chat: Chat) -> Parts:
    """Past and test."""
    kind_M = kinds(chat)
    found = [m for m in moments(chat, kind_M, kind_M != VisitKind.NO_VISIT) if len(m.live_N) > 1 and not m.surprise]
    return [m for m in found if m.message < chat.num_train], [m for m in found if m.message >= chat.num_train]


class Columns(BoostedTowers):
    """With the doors open."""

    def noted(self, moment: Moment) -> NDArray[np.float32]:
        return self._noted(moment)

    def now(self, moment: Moment) -> NDArray[np.float32]:
        return self._features(moment)

    def place(self, name: str) -> int:
        return self._names.index(name)


@pytest.fixture(scope="module")
def chat() -> Chat:
    return chat_of(SAID, NUM_TRAIN)


@pytest.fixture(scope="module")
def parts(chat: Chat) -> Parts:
    return visits_of(chat)


def test_it_reads_what_a_versions_ranker_reads_and_nothing_else(chat: Chat, parts: Parts) -> None:
    ranker = Columns(CONFIG, towers_of(chat, version_of()), "boosted")
    ranker.learn(parts[0])
    assert sorted(ranker.importance()) == sorted((*RANKED, *EXTRA))


def test_towers_and_codes_are_told_it_as_the_versions_ranker_learned_from_them(chat: Chat, parts: Parts) -> None:
    past, _ = parts
    bundle = version_of()
    ranker = Columns(CONFIG, towers_of(chat, bundle), "boosted")
    ranker.learn(past)
    some = past[-60:]
    row_C, labels_C2 = rows_of(chat.channels, KNOWN), channel_labels(chat.channels, {})
    visits = find_visits(chat, kinds(chat))
    candidate_sets = slates_of(some, visits, Talk(), row_C=row_C, labels_C2=labels_C2, max_visits=20)
    model = new_model(candidate_sets, FitConfig(), len(KNOWN))
    load_bundle(bundle, model)
    model.coded = True
    model.eval()
    with torch.no_grad():
        extra_RX = model(training_batch(candidate_sets, np.arange(len(candidate_sets)), 20)).extra_RX.numpy()
    told_RX = np.concatenate([ranker.now(moment) for moment in some])[:, [ranker.place(name) for name in EXTRA]]
    assert np.ptp(extra_RX[:, :4], axis=0).min() > 0.01
    assert np.abs(told_RX - extra_RX).max() < 1e-4


def test_where_only_the_towers_tell_rooms_apart_it_ranks_right_and_boosting_cannot(chat: Chat, parts: Parts) -> None:
    bundle = version_of()
    towers = towers_of(chat, bundle)
    towers.learn([])

    def by_towers(moment: Moment) -> Moment:
        vector_E, rooms = towers.replayed.viewer(moment).vector_E, towers.replayed.rooms(moment)
        features_NF = np.ones_like(moment.features_NF)
        return replace(moment, features_NF=features_NF, entered=int(np.argmax(rooms.vectors_NE @ vector_E)))

    past, test = ([by_towers(moment) for moment in part] for part in parts)
    sees, blind = BoostedTowers(CONFIG, towers, "sees"), Boosting(CONFIG)
    for ranker in (sees, blind):
        ranker.learn(past)
    first = np.mean([int(np.argmax(sees.score(moment))) == moment.entered for moment in test])
    assert first > 0.6  # of seven rooms or eight; where a streamer is taken for nobody the towers do not say it
    assert all(np.ptp(blind.score(moment)) == 0 for moment in test)


def altered(moment: Moment, names: Sequence[str]) -> Moment:
    features_NF = moment.features_NF.copy()
    columns = [COLUMN[name] for name in names]
    features_NF[:, columns] = np.random.default_rng(moment.message).normal(size=(len(features_NF), len(columns)))
    return replace(moment, features_NF=features_NF)


def test_what_no_replica_can_tell_changes_no_score(chat: Chat, parts: Parts) -> None:
    past, test = parts
    nowhere = [name for name in FEATURES if name not in RANKED]
    assert nowhere == ["chatters_300s", "recent_moves"]
    plain, told = (BoostedTowers(CONFIG, towers_of(chat, version_of()), "boosted") for _ in range(2))
    plain.learn(past)
    told.learn([altered(moment, nowhere) for moment in past])
    offline = [name for name in FEATURES if name not in SERVED]
    for moment in test:
        assert np.array_equal(plain.score(moment), told.score(altered(moment, offline)))
    seen = [altered(moment, SERVED) for moment in test]
    assert any((plain.score(a) != plain.score(b)).any() for a, b in zip(test, seen, strict=True))


def test_moves_and_totals_are_of_the_time_before_a_visit_that_teaches_and_frozen_where_it_ranks(
    chat: Chat, parts: Parts
) -> None:
    past, test = parts
    bundle = version_of()
    ranker = Columns(CONFIG, towers_of(chat, bundle), "boosted")
    ranker.learn(past)
    counted = (*LEARNED, *TOTALS)
    places, columns = [ranker.place(name) for name in counted], [COLUMN[name] for name in counted]
    known_C = rows_of(chat.channels, KNOWN) > 0
    unknown = 0
    for moment in past[-200:]:
        noted_NK = ranker.noted(moment)[:, places]
        nobody_N = np.isnan(noted_NK[:, -1])
        assert np.array_equal(noted_NK[~nobody_N], moment.features_NF[~nobody_N][:, columns])
        assert (noted_NK[nobody_N][:, : len(LEARNED)] == 0).all()
        assert nobody_N[~known_C[moment.live_N]].all()
        assert (ranker.noted(moment)[nobody_N, ranker.place("gate")] == gate_of_nobody(bundle)).all()
        unknown += int(nobody_N[known_C[moment.live_N]].sum())
    rows = sum(int(known_C[moment.live_N].sum()) for moment in past[-200:])
    assert 0.15 < unknown / rows < 0.25
    totals_S3 = bundle.arrays["transitions.totals_S3"]
    for moment in test[:50]:
        row_N = rows_of(chat.channels, KNOWN)[moment.live_N]
        now_NK = ranker.now(moment)[:, places]
        assert np.array_equal(now_NK[row_N > 0, len(LEARNED) :], totals_S3[row_N[row_N > 0]])
        assert np.isnan(now_NK[row_N == 0, len(LEARNED) :]).all()


def gate_of_nobody(bundle: Bundle) -> np.float32:
    there_1D = np.ones((1, D), np.float32)
    return np.float32(Version(bundle).embed_rooms(["nobody"], there_1D, there_1D).content_gate_N[0])


def test_it_learns_from_the_visits_that_the_towers_have_not_seen(chat: Chat, parts: Parts) -> None:
    noted = []

    class Noting(BoostedTowers):
        def _noted(self, moment: Moment) -> NDArray[np.float32]:
            noted.append(moment.message)
            return super()._noted(moment)

    past, _ = parts
    Noting(CONFIG, towers_of(chat, version_of()), "boosted").learn(past)
    until = len(past) - int(len(past) * HELD_OUT)
    assert noted == [moment.message for moment in past[-(-until // 2) :]]


def test_it_scores_to_the_bit_as_lightgbm_does(chat: Chat, parts: Parts) -> None:
    ranker = BoostedTowers(CONFIG, towers_of(chat, version_of()), "boosted")
    past, test = parts
    ranker.learn(past)
    assert ranker._booster is not None
    for moment in test:
        expected_N = ranker._booster.predict(ranker._features(moment), num_threads=1)
        assert np.array_equal(ranker.score(moment), np.asarray(expected_N))


def test_what_happens_later_changes_nothing_of_what_it_learns_from_and_ranks_by(chat: Chat, parts: Parts) -> None:
    original = Columns(CONFIG, towers_of(chat, version_of()), "original")
    original.learn(parts[0])
    for part, columns, at in ((0, Columns.noted, 800), (1, Columns.now, 1250)):
        cut = next(i for i in range(at, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)
        changed = chat_of([*SAID[:cut], *renamed(SAID[cut:])], NUM_TRAIN)
        ranker = Columns(CONFIG, towers_of(changed, version_of()), "changed")
        ranker.learn(parts[0][:60])
        others = visits_of(changed)[part]
        assert [m.message for m in others if m.message < cut] == [m.message for m in parts[part] if m.message < cut]
        pairs = [(columns(original, a), columns(ranker, b)) for a, b in zip(parts[part], others, strict=False)]
        before = sum(moment.message < cut for moment in others)
        assert before > 50
        # Not to the bit: a product of more rows is summed in another order.
        assert all(np.allclose(a, b, rtol=0, atol=1e-5, equal_nan=True) for a, b in pairs[:before])
        assert not any(a.shape == b.shape and np.allclose(a, b, equal_nan=True) for a, b in pairs[before + 5 :])


def test_one_version_learns_for_both_and_knows_the_training_part_alone(chat: Chat) -> None:
    config = FitConfig(learn=LearnConfig(batch=64, ranker_epochs=1))
    steps: list[int] = []
    alone = Learned("tidecast", chat, NoContent(D), config, told=lambda step, _: steps.append(step.step))
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
