"""The baseline ranker of recorded chat: habits and likings first, the room that the viewer is in last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.recorded.replay import Channel
from tests.unit.training.recorded.recorded_chat import Said, Silent, chat_of
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.logged_baseline import VersionZero
from training.evaluation.recorded_examples import Beside
from training.recorded.recorded_visits import RecordedVisits
from training.settings import Baseline

T0 = 1_700_000_000.0


def ranks_of(said: Sequence[Said], num_train: int, known: Mapping[str, Channel]) -> list[list[str]]:
    """Of each visit of the test, the channels live, best first."""
    chat = chat_of(said, num_train)

    class Sink:
        def __init__(self) -> None:
            self.ranked: list[list[str]] = []

        def add(self, visits: RecordedVisits, ranked_R: NDArray[np.intp]) -> None:
            names = [chat.channels[channel] for channel in visits.channel_R[ranked_R].tolist()]
            starts, sizes = visits.sets.starts().tolist(), visits.sets.size_V.tolist()
            self.ranked += [names[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    sink, rankers = Sink(), [VersionZero(Baseline())]
    beside = Beside(known)
    evaluate(chat, rankers, EvaluateConfig(), Silent(), beside=beside, sinks={"version 0": sink})
    return sink.ranked


def others(at_s: float, *channels: str) -> list[Said]:
    return [Said(at_s + i / 10, channel, f"{channel} {at_s}") for i, channel in enumerate(channels)]


def test_who_visits_a_streamer_finds_them_first_and_the_room_they_are_in_last() -> None:
    said = [Said(T0, "small", "v"), Said(T0 + 1, "here", "v")]
    said += [each for i in range(20) for each in others(T0 + 2 + i, "large", "large", "here", "small")]
    said += [Said(T0 + 60, "large", "v"), Said(T0 + 61, "here", "w")]
    first, _ = ranks_of(said, len(said) - 2, {})
    assert (first[0], first[-1]) == ("small", "here")


def test_rooms_of_a_category_that_the_viewer_likes_come_before_larger_ones() -> None:
    known = {"chess 1": Channel("", "Chess"), "chess 2": Channel("", "Chess"), "large": Channel("", "Racing")}
    said = [Said(T0, "chess 1", "v"), Said(T0, "large", "u"), Said(T0 + 1, "chess 2", "u")]
    for i in range(20):
        said += [*others(T0 + 2 + i, "large", "chess 1", "chess 2"), *others(T0 + 2.5 + i, "large")]
    said += [Said(T0 + 60, "chess 2", "v"), Said(T0 + 61, "large", "w")]
    liked, stranger = ranks_of(said, len(said) - 2, known)
    assert liked == ["chess 2", "large", "chess 1"]
    assert stranger[0] == "large"


def test_a_room_that_is_live_only_because_it_is_entered_is_known_by_its_streamer_alone() -> None:
    said = [Said(T0, "asleep", "v"), Said(T0 + 1, "gone", "u"), *others(T0 + 2, "a", "b")]
    said += [*others(T0 + 2000, "a", "b"), Said(T0 + 2010, "asleep", "v"), Said(T0 + 2011, "gone", "w")]
    visited, stranger = ranks_of(said, len(said) - 2, {})
    assert visited[0] == "asleep"
    assert stranger[-1] == "gone"
