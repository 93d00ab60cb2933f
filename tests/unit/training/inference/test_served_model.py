"""A frozen version says what the trained model says, and refuses what it is not."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from streaming.errors import VersionError
from tests.unit.training.random_candidate_sets import D_CONTENT, STREAMERS, random_candidate_sets
from training.examples.co_visit_counts import TransitionCounts
from training.features.features import COLUMN, ROOM_FEATURES, VIEWER_FEATURES
from training.fit.export import Origin, load_bundle
from training.fit.learner import LearnConfig
from training.fit.local_fit import FitConfig, fit_version, new_model
from training.inference.co_visits import Transitions
from training.inference.interface import RankedRooms, RequestCandidates, RoomsToExplain
from training.inference.served_model import Version
from training.model.batches import CandidateSets, training_batch
from training.model.config import ADAPTER, HEAD_ARRAYS, LEARNED, TOTALS, LarmConfig, ModelConfig, RankerConfig, Sides
from training.model.model import Model
from training.model.semantic_codes import CodesConfig
from training.registry.bundle import Bundle
from training.viewer_config import MixerKind, ViewerConfig

NAMES = tuple(f"s{number}" for number in range(1, STREAMERS + 1))


def small(mixer: MixerKind = "softmax", sides: Sides = "both", adapter: int = 0) -> FitConfig:
    return FitConfig(
        ModelConfig(
            LarmConfig(D_CONTENT, 16, sides=sides, adapter=adapter),
            ViewerConfig(mixer, d_item=16, d_model=16, max_visits=6),
            CodesConfig(levels=2, size=5, rounds=5),
            RankerConfig((16, 8), bins=4),
        ),
        LearnConfig(towers_epochs=1, epochs=1, ranker_epochs=2, batch=64, visits=6, prefixes=(8, 16)),
    )


def no_transitions() -> Transitions:
    return TransitionCounts().export(STREAMERS + 1)


def without_trails(candidate_sets: CandidateSets) -> CandidateSets:
    """With what was counted of moves and totals zero, as no_transitions has them."""
    features_RF = candidate_sets.features_RF.copy()
    features_RF[:, [COLUMN[name] for name in (*LEARNED, *TOTALS)]] = 0
    return replace(candidate_sets, features_RF=features_RF)


def fitted(candidate_sets: CandidateSets, config: FitConfig) -> Bundle:
    return fit_version(candidate_sets, NAMES, no_transitions(), config, Origin("one", "encoder/1", 2, 3))


def logits_of(version: Version, candidate_sets: CandidateSets, chosen: int) -> np.ndarray:
    rows = slice(
        int(candidate_sets.starts()[chosen]), int(candidate_sets.starts()[chosen] + candidate_sets.size_V[chosen])
    )
    now, mean = candidate_sets.contents.now_KD.astype(np.float32), candidate_sets.contents.mean_LD.astype(np.float32)
    names = ["?", *NAMES]
    rooms = version.embed_rooms(
        [names[row] for row in candidate_sets.streamer_R[rows]],
        now[candidate_sets.now_R[rows]],
        mean[candidate_sets.mean_R[rows]],
        candidate_sets.labels_R2[rows],
    )
    pasts, length = candidate_sets.pasts, int(candidate_sets.pasts.length_V[chosen])
    at = slice(len(pasts.streamer_VT[chosen]) - length, None)
    past = version.embed_rooms(
        [names[row] for row in pasts.streamer_VT[chosen, at]],
        now[pasts.now_VT[chosen, at]],
        mean[pasts.mean_VT[chosen, at]],
        pasts.labels_VT2[chosen, at],
    )
    viewer = version.viewer_of(
        past,
        action_V=pasts.action_VT[chosen, at].astype(np.int64),
        dwell_s_V=pasts.dwell_s_VT[chosen, at],
        gap_s_V=pasts.gap_s_VT[chosen, at],
        since_same_s_V=pasts.since_same_s_VT[chosen, at],
        hour=candidate_sets.at_ms_V[chosen] / 3.6e6 % 24,
    )
    features = candidate_sets.features_RF[rows]
    return version.logits(
        viewer,
        rooms,
        version.prepare(features[:, [COLUMN[name] for name in ROOM_FEATURES]], rooms),
        features[:, [COLUMN[name] for name in VIEWER_FEATURES]],
    )


@pytest.mark.parametrize(
    ("mixer", "sides", "adapter"),
    [("softmax", "both", 0), ("hstu", "content", 0), ("lru", "id", 0), ("softmax", "both", 5), ("lru", "content", 7)],
)
def test_a_version_in_numpy_scores_as_the_model_does(mixer: MixerKind, sides: Sides, adapter: int) -> None:
    candidate_sets = without_trails(random_candidate_sets(200))
    config = small(mixer, sides, adapter)
    bundle = fitted(candidate_sets, config)
    assert not adapter or np.abs(bundle.arrays[f"{ADAPTER}.up.weight"]).max() > 1e-3, "the adapter has learned nothing"
    larm = replace(config.model.larm, d_content=D_CONTENT)
    model = Model(replace(config.model, larm=larm), STREAMERS, bundle.arrays["ranker.knots_FQ"])
    load_bundle(bundle, model)
    model.coded = True
    model.eval()
    for array in bundle.arrays.values():
        array.setflags(write=False)  # as those of a version that is read
    version = Version(bundle)
    chosen = np.arange(40)
    assert (candidate_sets.pasts.length_V[chosen] == 0).any()  # strangers
    with torch.no_grad():
        batch = training_batch(candidate_sets, chosen, 6)
        wanted = model(batch).logit_R4.numpy()
    got = np.concatenate([logits_of(version, candidate_sets, int(one)) for one in chosen])
    assert np.abs(wanted).max() > 0.5
    np.testing.assert_allclose(got, wanted, atol=3e-4)


def test_a_version_whose_adapter_has_another_shape_is_refused() -> None:
    bundle = fitted(random_candidate_sets(100), small(adapter=5))
    for name in ("down", "up"):
        place = f"{ADAPTER}.{name}.weight"
        for arrays in ({place: bundle.arrays[place][:, :-1]}, {place: bundle.arrays[place][:-1]}):
            with pytest.raises(VersionError):
                Version(Bundle(bundle.manifest, {**bundle.arrays, **arrays}, bundle.names))
        without = {other: array for other, array in bundle.arrays.items() if other != place}
        with pytest.raises(VersionError):
            Version(Bundle(bundle.manifest, without, bundle.names))


def ranked(version: Version, rooms: int = 7) -> tuple[RankedRooms, np.ndarray]:
    """What a cold-start viewer is ranked by, and the logits, of rooms of known streamers with some features."""
    rng = np.random.default_rng(3)
    now_ND, mean_ND = rng.normal(size=(2, rooms, D_CONTENT)).astype(np.float32)
    embedded = version.embed_rooms(NAMES[:rooms], now_ND, mean_ND)
    prepared_NH = version.prepare(rng.random((rooms, len(ROOM_FEATURES))).astype(np.float32), embedded)
    viewer_features_NP = rng.random((rooms, len(VIEWER_FEATURES))).astype(np.float32)
    viewer = version.viewer(None)
    offered = RequestCandidates(np.arange(rooms), embedded, prepared_NH, viewer_features_NP)
    return version.rank(viewer, offered), version.logits(viewer, embedded, prepared_NH, viewer_features_NP)


def without_leaving(bundle: Bundle) -> Bundle:
    """The bundle as builds before the head for leaving have written it."""
    arrays = {name: array for name, array in bundle.arrays.items() if not name.endswith(".leave")}
    return Bundle(bundle.manifest, arrays, bundle.names)


def test_a_version_says_how_likely_leaving_is() -> None:
    rooms, logit_N4 = ranked(Version(fitted(random_candidate_sets(200), small())))
    assert rooms.leave_N is not None
    assert len(np.unique(rooms.leave_N)) > 3
    for place, head_N in enumerate((rooms.stay_N, rooms.interact_N, rooms.leave_N), start=1):
        np.testing.assert_allclose(head_N, 1 / (1 + np.exp(-logit_N4[:, place])), rtol=1e-5)


def test_a_version_of_before_there_was_leaving_is_served_by_its_three_heads() -> None:
    bundle = fitted(random_candidate_sets(200), small())
    for name in HEAD_ARRAYS:  # a build that knows three heads reads these
        assert len(bundle.arrays[name]) == 3
    (new, logit_N4), (old, logit_N3) = ranked(Version(bundle)), ranked(Version(without_leaving(bundle)))
    assert old.leave_N is None
    assert logit_N3.shape == (7, 3)
    np.testing.assert_allclose(logit_N3, logit_N4[:, :3], atol=1e-5)
    np.testing.assert_allclose(old.enter_N, new.enter_N, rtol=1e-5)
    rooms = RoomsToExplain(np.arange(7), np.ones(7, np.bool_), np.full(7, np.nan, np.float32), 60.0)
    drops = []
    for version in (Version(bundle), Version(without_leaving(bundle))):
        embedded = version.embed_rooms(NAMES[:7], *np.ones((2, 7, D_CONTENT), np.float32))
        prepared_NH = version.prepare(np.ones((7, len(ROOM_FEATURES)), np.float32), embedded)
        features_NP = np.ones((7, len(VIEWER_FEATURES)), np.float32)
        offered = RequestCandidates(np.arange(7), embedded, prepared_NH, features_NP)
        viewer = version.viewer(None)
        drops.append(version.log_odds_drops(viewer, offered, version.rank(viewer, offered), rooms))
    assert np.abs(drops[0]).max() > 0
    np.testing.assert_allclose(drops[1], drops[0], atol=1e-4)


@pytest.mark.parametrize("missing", HEAD_ARRAYS)
def test_a_bundle_with_half_a_head_is_refused(missing: str) -> None:
    bundle = fitted(random_candidate_sets(80), small())
    arrays = {name: array for name, array in bundle.arrays.items() if name != f"{missing}.leave"}
    with pytest.raises(VersionError, match="not a model of this build"):
        Version(Bundle(bundle.manifest, arrays, bundle.names))


def test_learning_goes_on_from_a_version_with_and_without_leaving() -> None:
    candidate_sets, config = random_candidate_sets(120), small()
    bundle = fitted(candidate_sets, config)
    weights = []
    for parent in (bundle, without_leaving(bundle)):
        model = new_model(candidate_sets, config, STREAMERS)
        load_bundle(parent, model)
        weights.append(model.ranker.heads.weight.detach().numpy())
    np.testing.assert_array_equal(weights[0][:3], bundle.arrays["ranker.heads.weight"])
    np.testing.assert_array_equal(weights[0][3:], bundle.arrays["ranker.heads.weight.leave"])
    np.testing.assert_array_equal(weights[1][:3], weights[0][:3])
    assert not weights[1][3:].any()


def test_a_bundle_with_other_features_is_refused() -> None:
    bundle = fitted(random_candidate_sets(80), small())
    other = msgspec.structs.replace(bundle.manifest, features=("hour",))
    with pytest.raises(VersionError, match="reads other features"):
        Version(Bundle(other, bundle.arrays, bundle.names))


@pytest.mark.parametrize(
    "missing", ["centroids_LKE", "rooms.project.weight", "temperature", "transitions.moves.start_S"]
)
def test_a_bundle_without_an_array_is_refused(missing: str) -> None:
    bundle = fitted(random_candidate_sets(80), small())
    arrays = {name: array for name, array in bundle.arrays.items() if name != missing}
    with pytest.raises(VersionError, match="not a model of this build"):
        Version(Bundle(bundle.manifest, arrays, bundle.names))


def test_a_bundle_with_too_few_names_is_refused() -> None:
    bundle = fitted(random_candidate_sets(80), small())
    with pytest.raises(VersionError, match="one row more than names"):
        Version(Bundle(bundle.manifest, bundle.arrays, {"streamers": NAMES[:-1]}))
