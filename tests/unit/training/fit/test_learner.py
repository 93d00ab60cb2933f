"""Learning: it learns, it follows from the seed, it goes on as if it had not stopped, and it says what it cannot do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from streaming.errors import TrainingError
from tests.unit.training.inference.test_served_model import NAMES, fitted, no_transitions, small
from tests.unit.training.random_candidate_sets import STREAMERS, random_candidate_sets
from training.evaluation.promotion_gate import SliceGate, ndcg
from training.features.features import COLUMN
from training.fit.export import Origin, load_bundle
from training.fit.frozen_towers import FrozenTowers
from training.fit.learner import Learner, NotANumber
from training.fit.local_fit import FitConfig, calibrate, check_learnable, fit_version, new_model, rank_all
from training.model.batches import ContentTable, training_batch
from training.model.config import COLD, EXTRA, LEARNED, TOTALS, LarmConfig
from training.model.room_tower import RoomTower
from training.model.semantic_codes import Codebooks
from training.settings import Baseline


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_it_learns_where_viewers_return_to() -> None:
    candidate_sets = random_candidate_sets(600)
    bundle = fitted(candidate_sets, small())
    judged = SliceGate(random_candidate_sets(200, seed=5), NAMES, Baseline()).judge(bundle, None)
    chance = ndcg(np.random.default_rng(0).random(len(candidate_sets.features_RF)), candidate_sets).mean()
    assert judged.metrics["ndcg10_all"] > chance + 0.1
    assert judged.passed, judged.reason


def test_the_same_seed_gives_the_same_version_and_another_another() -> None:
    candidate_sets, config = random_candidate_sets(120), small()
    one, same = fitted(candidate_sets, config), fitted(candidate_sets, config)
    assert all(np.array_equal(one.arrays[name], same.arrays[name]) for name in one.arrays)
    other = dataclasses.replace(config, learn=dataclasses.replace(config.learn, seed=8))
    assert not np.array_equal(fitted(candidate_sets, other).arrays["code_LKE"], one.arrays["code_LKE"])


@pytest.mark.parametrize("stop_at", [1, 4, 6, 8])
def test_a_run_that_goes_on_from_a_checkpoint_is_the_run_that_was_not_stopped(stop_at: int) -> None:
    candidate_sets, config = random_candidate_sets(150), small()
    whole = Learner(new_model(candidate_sets, config, STREAMERS), candidate_sets, config.learn)
    for _ in whole.run():
        pass
    first = Learner(new_model(candidate_sets, config, STREAMERS), candidate_sets, config.learn)
    for step in first.run():
        if step.step == stop_at:
            break
    state = first.state()
    state = {**state, "model": {name: value.clone() for name, value in state["model"].items()}}
    second = Learner(new_model(candidate_sets, config, STREAMERS), candidate_sets, config.learn)
    second.restore(state)
    for _ in second.run():
        pass
    left, right = whole.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_loss_that_is_not_a_number_stops_with_its_batch() -> None:
    candidate_sets, config = random_candidate_sets(100), small()
    candidate_sets.features_RF[:, COLUMN["messages_60s"]] = np.inf
    learner = Learner(new_model(candidate_sets, config, STREAMERS), candidate_sets, config.learn)
    learner.model.rooms.project.weight.data.fill_(float("nan"))
    with pytest.raises(NotANumber, match="not a number") as told:
        next(learner.run())
    assert len(told.value.batch)


@pytest.mark.parametrize(("visits", "said"), [(10, "at least 50"), (60, "one viewer")])
def test_too_little_is_said(visits: int, said: str) -> None:
    few = random_candidate_sets(visits)
    with pytest.raises(TrainingError, match=said):
        check_learnable(dataclasses.replace(few, viewer_V=np.zeros(visits, np.int64)))


def test_one_room_is_nothing_to_choose_between() -> None:
    candidate_sets = random_candidate_sets(60)
    with pytest.raises(TrainingError, match="nothing to choose"):
        check_learnable(dataclasses.replace(candidate_sets, streamer_R=np.ones_like(candidate_sets.streamer_R)))


def test_a_refresh_keeps_what_it_began_with_and_grows_for_new_streamers() -> None:
    candidate_sets, config = random_candidate_sets(120), small()
    parent = fitted(candidate_sets, config)
    more = (*NAMES, "new-1", "new-2")
    again = fit_version(
        candidate_sets, more, no_transitions(), config, Origin("two", "encoder/1", 3, 4, "one"), parent=parent
    )
    assert again.manifest.parent == "one"
    assert again.arrays["rooms.streamer.weight"].shape[0] == len(more) + 1
    vectors = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    before, after = (Codebooks(bundle.arrays["centroids_LKE"]) for bundle in (parent, again))
    assert before.centroids_LKD.shape == after.centroids_LKD.shape
    assert (before.assign(vectors)[:, 0] == after.assign(vectors)[:, 0]).mean() > 1.5 / before.centroids_LKD.shape[1]


def test_a_streamer_that_is_new_begins_as_the_cold_one_and_the_others_stay() -> None:
    candidate_sets, config = random_candidate_sets(120), small()
    parent = fitted(candidate_sets, config)
    model = new_model(candidate_sets, config, STREAMERS + 2)
    load_bundle(parent, model)
    rows = model.rooms.streamer.weight.detach().numpy()
    known = parent.arrays["rooms.streamer.weight"]
    assert np.array_equal(rows[: len(known)], known)
    assert all(np.array_equal(row, known[COLD]) for row in rows[len(known) :])


def adapting(config: FitConfig, units: int) -> FitConfig:
    larm = dataclasses.replace(config.model.larm, adapter=units)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, larm=larm))


def test_an_adapter_begins_with_what_the_encoder_gives_and_zeros_stay_zeros() -> None:
    torch.manual_seed(1)
    tower = RoomTower(LarmConfig(8, 4, adapter=3), 3).eval()
    content = torch.randn(5, 8)
    assert torch.equal(tower.adapt(content), content)
    torch.nn.init.normal_(tower.adapt.up.weight)
    assert not torch.equal(tower.adapt(content), content)
    assert not tower.adapt(torch.zeros(2, 8)).any()


def test_a_refresh_with_an_adapter_begins_as_the_version_without_one() -> None:
    candidate_sets, config = random_candidate_sets(120), small()
    parent = fitted(candidate_sets, config)
    models = [new_model(candidate_sets, shape, STREAMERS) for shape in (config, adapting(config, 3))]
    for model in models:
        load_bundle(parent, model)
    plain, adapted = (model.project(candidate_sets.contents) for model in models)
    assert np.array_equal(plain.now_KE, adapted.now_KE)
    assert np.array_equal(plain.mean_LE, adapted.mean_LE)


def test_a_version_with_an_adapter_is_not_refreshed_without_one() -> None:
    candidate_sets, config = random_candidate_sets(120), small()
    parent = fitted(candidate_sets, adapting(config, 3))
    with pytest.raises(TrainingError, match=r"training\.encoder = \"adapter\""):
        load_bundle(parent, new_model(candidate_sets, config, STREAMERS))


def test_content_that_is_projected_once_is_that_of_the_tower() -> None:
    candidate_sets, config = random_candidate_sets(60), adapting(small(), 3)
    model = new_model(candidate_sets, config, STREAMERS).eval()
    torch.nn.init.normal_(model.rooms.adapt.up.weight)
    chosen = np.arange(20)
    raw, projected = (
        model(training_batch(candidate_sets, chosen, 6, table)).vector_RE.detach().numpy()
        for table in (None, model.project(candidate_sets.contents))
    )
    np.testing.assert_allclose(projected, raw, atol=1e-5)


def test_a_room_without_content_is_its_streamer_and_a_gate_reads_only_the_streamer() -> None:
    tower = RoomTower(LarmConfig(8, 4), 3).eval()
    one, other = torch.randn(1, 8), torch.randn(1, 8)
    has = torch.ones(1, 1, dtype=torch.bool)
    row = torch.tensor([2])
    assert torch.equal(tower(one, one, has, row).content_gate_N, tower(other, other, has, row).content_gate_N)
    nothing = tower(torch.zeros(1, 8), torch.zeros(1, 8), ~has, row)
    assert float(nothing.content_gate_N.detach()) == 0
    assert torch.allclose(nothing.vector_NE, torch.nn.functional.normalize(tower.streamer(row), dim=-1))


def test_what_all_content_has_in_common_does_not_make_all_rooms_alike() -> None:
    candidate_sets = random_candidate_sets(300)
    common = np.full(
        candidate_sets.contents.now_KD.shape[1], 3.0, np.float32
    )  # as texts have it: more alike than unlike
    has_now, has_mean = candidate_sets.contents.has_now_K[:, None], candidate_sets.contents.has_mean_L[:, None]
    contents = ContentTable(
        candidate_sets.contents.now_KD + common * has_now, candidate_sets.contents.mean_LD + common * has_mean
    )
    alike = dataclasses.replace(candidate_sets, contents=contents)
    config = small()
    learner = Learner(new_model(alike, config, STREAMERS), alike, config.learn)
    for _ in learner.run():
        pass
    rooms = np.unique(alike.now_R)[:100]
    now_ND = torch.from_numpy(np.nan_to_num(contents.now_KD[rooms].astype(np.float32)))
    mean_ND, has_N1 = now_ND.clone(), torch.ones(len(rooms), 1, dtype=torch.bool)
    with torch.no_grad():
        a_NE = learner.model.rooms(now_ND, mean_ND, has_N1, torch.zeros(len(rooms), dtype=torch.int64)).content_NE
    cosine_NN = (a_NE @ a_NE.T).numpy()
    assert (cosine_NN.sum() - len(rooms)) / len(rooms) / (len(rooms) - 1) < 0.5


def test_probabilities_are_calibrated_by_one_temperature() -> None:
    candidate_sets, config = random_candidate_sets(300), small()
    model = new_model(candidate_sets, config, STREAMERS)
    model.ranker.terms_K.data *= 20  # far too sure of itself
    found = calibrate(rank_all(model, candidate_sets, np.arange(200), config.learn))
    assert found.temperature == pytest.approx(2.0)
    assert found.ece < found.ece_before


def test_a_batch_holds_the_newest_visits_of_each_past() -> None:
    candidate_sets = random_candidate_sets(40, visits=6)
    batch = training_batch(candidate_sets, np.arange(40), 3)
    assert batch.past_mask_BT.shape[1] <= 3
    long = int(np.argmax(candidate_sets.pasts.length_V))
    assert batch.past_streamer_BT[long].tolist() == candidate_sets.pasts.streamer_VT[long, -3:].tolist()


def test_the_ranker_meets_streamers_of_whom_nothing_is_known() -> None:
    candidate_sets, config = random_candidate_sets(80), small()
    model = new_model(candidate_sets, config, STREAMERS).eval()
    given = FrozenTowers(model, candidate_sets, 32, 6, None)
    every = np.arange(80)
    known, known_RX = given.choices(every, 0.0, np.random.default_rng(0))
    cold, cold_RX = given.choices(every, 1.0, np.random.default_rng(0))
    assert np.array_equal(known.features_RF.numpy(), candidate_sets.features_RF, equal_nan=True)
    assert torch.isnan(cold.features_RF[:, [COLUMN[name] for name in TOTALS]]).all()
    assert not cold.features_RF[:, [COLUMN[name] for name in LEARNED]].any()
    gate = [*EXTRA].index("gate")
    assert len(np.unique(known_RX[:, gate].numpy())) > 3  # zero without content, else a streamer's own
    assert len(np.unique(cold_RX[:, gate].numpy())) <= 2
    some, _ = given.choices(every, 0.5, np.random.default_rng(0))
    unknown_R = torch.isnan(some.features_RF[:, COLUMN[TOTALS[0]]]).numpy()
    of_cold = {int(streamer) for streamer in candidate_sets.streamer_R[unknown_R]}
    assert 0 < len(of_cold) < STREAMERS
    assert not of_cold & {
        int(streamer) for streamer in candidate_sets.streamer_R[~unknown_R]
    }  # whole streamers, not rooms
