"""Tests of a viewer as the platform sees them: what the profile has, and what the score reads from it."""

from __future__ import annotations

import msgspec
import pytest

from actors.answers.schema import SeenViewer
from actors.answers.seen_viewers import SeenViewers
from actors.recommend.schema import Query
from actors.settings import RecommendConfig
from streaming.errors import UnknownViewer
from streaming.log.topics import VIEWER_PROFILES
from streaming.viewer.profile_config import ProfileConfig
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import Replica, axis
from training.settings import BaselineWeights


def platform() -> Replica:
    replica = Replica()
    replica.room("a", category="Chess", language="pt", title_vector=axis(1))
    replica.room("b", category="Art", language="en", title_vector=axis(2))
    replica.room("c", category="Art", language="en", title_vector=axis(3))
    replica.viewer("v", "a", "a", "b", "gone", now_in="gone")
    return replica


def seen(replica: Replica, viewer: str = "v") -> SeenViewer:
    found = SeenViewers(replica.recommender).viewer(viewer)
    return msgspec.json.decode(msgspec.json.encode(found), type=SeenViewer, strict=True)


@pytest.mark.parametrize("version", ["v0", "one"])
def test_a_viewer_is_shown_as_the_score_sees_them(version: str) -> None:
    replica = platform()
    if version == "one":
        put_live(replica, FakeVersion("one"))
    viewer = seen(replica)
    assert (viewer.viewer, viewer.room, viewer.total_visits) == ("v", "gone", 4)
    assert [(visit.room, visit.live) for visit in viewer.visits] == [
        ("gone", False), ("b", True), ("a", True), ("a", True),
    ]  # fmt: skip
    assert viewer.interests.categories == {"Chess": 1.0, "Art": pytest.approx(0.7071)}
    assert viewer.interests.languages == {"pt": 1.0, "en": pytest.approx(0.7071)}
    assert viewer.interests.top_categories == ["Chess", "Art"]
    assert viewer.interests.last_streamer == "streamer of gone"
    assert viewer.interests.has_vector
    assert set(viewer.interests.similar_to) >= {"streamer of a", "streamer of b"}
    assert {habit.streamer: habit.live_rooms for habit in viewer.habits} == {
        "streamer of a": ["a"], "streamer of b": ["b"], "streamer of gone": [],
    }  # fmt: skip
    assert viewer.model_version == version


def test_its_figures_are_those_of_the_terms() -> None:
    replica, weights = platform(), BaselineWeights()
    viewer = seen(replica)
    strength = {habit.streamer: habit.strength for habit in viewer.habits}
    for item in replica.recommender.recommend(Query(viewer="v", explain=True)).rooms:
        assert item.terms["visited"] == pytest.approx(weights.visited * strength.get(item.streamer, 0), abs=1e-3)  # type: ignore[index]
        shares = viewer.interests.categories, viewer.interests.languages
        assert item.terms["category"] == pytest.approx(weights.category * shares[0][item.category], abs=1e-3)  # type: ignore[index]
        assert item.terms["language"] == pytest.approx(weights.language * shares[1][item.language], abs=1e-3)  # type: ignore[index]


def test_who_was_silent_for_long_is_nowhere() -> None:
    replica = platform()
    replica.clock.advance(1_000 * ProfileConfig().presence_timeout_s + 1_000)
    assert seen(replica).room is None


def test_a_viewer_without_a_profile_or_with_one_that_cannot_be_read_is_unknown() -> None:
    replica = platform()
    replica.send(VIEWER_PROFILES, "broken", b"\xc1")
    for viewer in ("nobody", "broken", "x" * 900):
        with pytest.raises(UnknownViewer) as unknown:
            seen(replica, viewer)
        assert len(str(unknown.value)) < 300


def test_to_look_at_a_viewer_changes_no_answer() -> None:
    replica = Replica(config=RecommendConfig())
    for number in range(9):
        replica.room(f"r{number}", title_vector=axis(number % 8))
    replica.viewer("v", "r1", "r2")
    before = replica.shown("v")
    seen(replica)
    assert replica.shown("v") == before


def test_those_heard_of_latest_are_named_first() -> None:
    replica = Replica()
    for viewer in ("v1", "v2", "v3"):
        replica.viewer(viewer, "r1")
    named = SeenViewers(replica.recommender).latest(2)
    assert (named.held, named.viewers) == (3, ["v3", "v2"])
    seen(replica, "v1")
    assert SeenViewers(replica.recommender).latest(9).viewers == ["v1", "v3", "v2"]
