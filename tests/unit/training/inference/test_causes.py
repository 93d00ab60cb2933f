"""What a version says that a cause did is what its logits fall by where the features behind it are neutral."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.untrained import untrained
from training.features.features import ROOM_FEATURES, VIEWER_FEATURES
from training.inference import causes
from training.inference.causes import CAUSE_F, NEVER_F, REST
from training.inference.interface import RequestCandidates, RoomsToExplain
from training.inference.served_model import Version
from training.model.config import TOTALS

N, AGE = 40, ROOM_FEATURES.index("room_age_s")
Floats = NDArray[np.float32]


class World:
    """N rooms and a viewer who was with some of them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        names = [f"s{number}" for number in range(N)]
        self.version = Version(untrained("one", names, "test", 8))
        labels_N2 = rng.integers(1, 4, (N, 2)).astype(np.int32)
        labels_N2[:6] = 1  # where the viewer was
        self.rooms = self.version.embed_rooms(
            names,
            rng.normal(size=(N, 8)).astype(np.float32),
            rng.normal(size=(N, 8)).astype(np.float32),
            labels_N2,
        )
        self.room_features_NC = rng.uniform(0, 100, (N, len(ROOM_FEATURES))).astype(np.float32)
        self.prepared_NH = self.version.prepare(self.room_features_NC, self.rooms)
        self.viewer_features_NP = rng.uniform(0, 5, (N, len(VIEWER_FEATURES))).astype(np.float32)
        self.viewer_features_NP[N // 2 :, : len([name for name in VIEWER_FEATURES if name.startswith("own_")])] = (
            NEVER_F[:8]
        )
        past = self.rooms.take(np.arange(6))
        ones_V = np.ones(6, np.float32)
        self.viewer = self.version.viewer_of(
            past, action_V=np.zeros(6, np.int64), dwell_s_V=ones_V, gap_s_V=ones_V, since_same_s_V=ones_V, hour=3.0
        )
        self.offered = RequestCandidates(np.arange(N), self.rooms, self.prepared_NH, self.viewer_features_NP)

    def falls(self, places_K: NDArray[np.int64], age_s_K: Floats | None = None, usual_s: float = 0.0) -> Floats:
        unknown_K = np.full(len(places_K), np.nan, np.float32)
        ranked = self.version.rank(self.viewer, self.offered)
        everywhere_K = np.ones(len(places_K), np.bool_)
        rooms = RoomsToExplain(places_K, everywhere_K, unknown_K if age_s_K is None else age_s_K, usual_s)
        return self.version.log_odds_drops(self.viewer, self.offered, ranked, rooms)

    def logits(self, prepared_NH: Floats, values_NF: Floats) -> Floats:
        ranker = self.version._ranker
        scaled_N: Floats = ranker(np.ascontiguousarray(prepared_NH), np.arange(N), values_NF)[:, 0]
        return scaled_N / np.float32(self.version._temperature)

    def values(self) -> Floats:
        return self.version.columns(self.viewer, self.rooms, self.viewer_features_NP)


@pytest.mark.parametrize("cause", range(causes.CROWD))
def test_a_fall_is_that_of_the_logit_without_the_features_of_the_cause(cause: int) -> None:
    world = World()
    values_NF = world.values()
    average_F = np.nanmean(values_NF, axis=0)
    neutral_F = NEVER_F if cause == causes.MEMORY else average_F
    without_NF = np.where(cause == CAUSE_F, neutral_F, values_NF).astype(np.float32)
    expected_N = world.logits(world.prepared_NH, values_NF) - world.logits(world.prepared_NH, without_NF)
    facts = causes.FACTS[cause]
    places = [REST.index(name) for name in facts]
    is_fact_N = (values_NF[:, places] > neutral_F[places] + np.array([*facts.values()], np.float32)).any(axis=1)
    assert is_fact_N.any()
    fall_N = world.falls(np.arange(N))[:, cause]
    np.testing.assert_allclose(fall_N, np.where(is_fact_N, expected_N, 0), atol=1e-3)


def test_a_crowd_s_fall_is_that_of_the_logit_with_what_is_prepared_of_the_average_room() -> None:
    world = World()
    places_K = np.array([3, 1, 17])
    usual_NH = np.broadcast_to(world.prepared_NH.mean(axis=0), world.prepared_NH.shape)
    expected_N = world.logits(world.prepared_NH, world.values()) - world.logits(usual_NH, world.values())
    fall_KC = world.falls(places_K)
    np.testing.assert_allclose(fall_KC[:, causes.CROWD], expected_N[places_K], atol=1e-3)
    assert not fall_KC[:, causes.NEWNESS].any()


def test_newness_is_apart_from_the_crowd_where_a_room_is_new() -> None:
    world = World()
    older_NC, usual_s = world.room_features_NC.copy(), 3_000.0
    older_NC[:, AGE] = usual_s
    older_NH = world.version.prepare(older_NC, world.rooms)
    base_N = world.logits(world.prepared_NH, world.values())
    places_K = np.array([2, 5])
    fall_KC = world.falls(places_K, world.room_features_NC[places_K, AGE], usual_s)
    np.testing.assert_allclose(
        fall_KC[:, causes.NEWNESS], (base_N - world.logits(older_NH, world.values()))[places_K], atol=1e-3
    )
    usual_NH = world.prepared_NH.mean(axis=0) - older_NH + world.prepared_NH
    crowdless_N = world.logits(usual_NH, world.values())
    np.testing.assert_allclose(fall_KC[:, causes.CROWD], (base_N - crowdless_N)[places_K], atol=1e-3)


def test_every_input_of_a_request_but_the_viewer_s_own_is_behind_one_cause() -> None:
    free = {name for name, cause in zip(REST, CAUSE_F, strict=True) if cause == causes.NO_CAUSE}
    assert free == {name for name in VIEWER_FEATURES if name.startswith("viewer_")} | {"hour"}
    assert len(TOTALS)  # prepared, with the crowd
    assert max(CAUSE_F) + 1 == causes.CROWD
    assert len(causes.CAUSES) == causes.NEWNESS + 1
