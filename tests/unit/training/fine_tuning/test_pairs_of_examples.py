"""Which texts belong together, by the rooms and visits of examples; and that nothing of the future is in a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from streaming.room.window import SEGMENT_MS
from training.examples.dataset import CoVisits, ExampleSet, ExampleTexts
from training.fine_tuning.pairs_of_examples import PairsConfig, pairs_of_examples
from training.fine_tuning.text_pairs import PairKind, TextPairs

BEGAN = 59_000_000  # segments since the epoch


@dataclass
class Made:
    """Examples of rooms that chat in every segment, each text naming its room and segment."""

    rooms: int = 6
    segments: int = 40
    visits: tuple[tuple[int, int, float, int], ...] = ()  # at, in s since the begin; room before; gap_s; room
    blank: frozenset[tuple[int, int]] = frozenset()
    titled: int = 3
    one_title: bool = False
    retitled: int | None = None  # before this segment each title changes
    streamer_of_room: Any = None

    def __post_init__(self) -> None:
        self.streamers = tuple(f"s{room}" for room in range(self.rooms))
        self.streamer_of_room = np.arange(self.rooms, dtype=np.int32)

    def texts(self) -> ExampleTexts:
        rows: list[tuple[int, int, str]] = []
        for room in range(self.rooms):
            if room < self.titled:
                rows.append((room, -1, "one for all" if self.one_title else f"{room} title"))
            for at in range(self.segments):
                if room < self.titled and at == self.retitled:
                    rows.append((room, -1, f"{room} another title"))
                rows.append((room, BEGAN + at, " " if (room, at) in self.blank else f"{room} {at}"))
        room_K, segment_K, texts = zip(*rows, strict=True)
        count = len(rows)
        return ExampleTexts(
            np.array(room_K, np.int32),
            np.array(segment_K, np.int64),
            np.array([int.from_bytes(text.encode()[:7], "big") for text in texts]),
            np.ones(count, bool),
            np.zeros((count, 2), np.int32),
            texts,
        )

    def covisits(self) -> CoVisits:
        visits_V4 = np.array(self.visits, float).reshape(-1, 4)
        at_s, before, gap_s, room = visits_V4.T
        return CoVisits(
            (SEGMENT_MS * BEGAN + 1_000 * at_s).astype(np.int64),
            before.astype(np.int32),
            room.astype(np.int32),
            gap_s.astype(np.float32),
        )


def made(examples: Made, config: PairsConfig, until_ms: int | None = None) -> TextPairs:
    return pairs_of_examples(cast("ExampleSet", examples), config, until_ms)


def said(pairs: TextPairs, kind: PairKind) -> list[tuple[str, str]]:
    chosen = np.flatnonzero(pairs.kind_P == kind)
    return [(pairs.texts[pairs.left_P[place]], pairs.texts[pairs.right_P[place]]) for place in chosen]


def test_chat_of_a_room_goes_with_its_chat_some_minutes_later() -> None:
    pairs = made(Made(), PairsConfig(later_share=1.0, title_share=0.0))
    found = said(pairs, PairKind.LATER)
    assert len(found) > 200
    for left, right in found:
        (room, at), (other, then) = (map(int, text.split()) for text in (left, right))
        assert room == other
        assert 2 <= then - at <= 10
    assert {then - at for (_, at), (_, then) in [(map(int, a.split()), map(int, b.split())) for a, b in found]} == set(
        range(2, 11)
    )


def test_a_title_goes_with_the_chat_of_its_room() -> None:
    pairs = made(Made(), PairsConfig(most=60, later_share=0.0, title_share=1.0))
    found = said(pairs, PairKind.TITLE)
    assert len(found) == 60
    assert all(left.endswith("title") and left.split()[0] == right.split()[0] for left, right in found)
    assert {left for left, _ in found} == {"0 title", "1 title", "2 title"}


@pytest.mark.parametrize(("until", "known"), [(11, True), (10, False), (9, False)])
def test_a_title_of_the_time_that_a_version_is_judged_by_is_in_no_pair(until: int, known: bool) -> None:
    config = PairsConfig(most=500, later_share=0.0, title_share=1.0)
    pairs = made(Made(retitled=10), config, (BEGAN + until) * SEGMENT_MS)
    titles = {left for left, _ in said(pairs, PairKind.TITLE)}
    assert titles == {f"{room} {which}" for room in range(3) for which in ("title", *["another title"] * known)}
    assert all("another" not in title for title in pairs.titles) or known


def test_rooms_of_one_viewer_go_together_each_with_what_had_been_said_when_it_was_entered() -> None:
    # entered room 1 at 155 s and room 2 at 335 s: then the segments before 150 s and before 330 s were closed
    pairs = made(Made(visits=((335, 1, 180.0, 2),)), PairsConfig(later_share=0.0, title_share=0.0))
    assert said(pairs, PairKind.COVISIT) == [("1 4", "2 10")]
    assert pairs.at_P.tolist() == [BEGAN + 10]
    assert (pairs.left_room_P.tolist(), pairs.right_room_P.tolist()) == ([1], [2])


@pytest.mark.parametrize(
    ("visit", "blank"),
    [
        ((335, 1, 180.0, 2), {(1, at) for at in range(5)}),  # nothing had been said
        ((335, 1, 180.0, 2), {(2, at) for at in range(7, 11)}),  # or not for two minutes
        ((15, 1, 5.0, 2), set()),  # no segment had closed
        ((1_000, 1, 900.0, 2), set()),  # too far apart
    ],
)
def test_rooms_are_no_pair_where_nothing_had_been_said_lately_or_the_visits_lie_apart(
    visit: tuple[int, int, float, int], blank: set[tuple[int, int]]
) -> None:
    config = PairsConfig(later_share=0.0, title_share=0.0, covisit_s=600.0)
    assert len(made(Made(visits=(visit,), blank=frozenset(blank)), config)) == 0


def test_visits_between_popular_rooms_count_less() -> None:
    popular = [(60 + at, 0, 10.0, 1) for at in range(1_000)]
    rare = [(60 + 10 * at, 2, 10.0, 3) for at in range(100)]
    pairs = made(
        Made(visits=tuple(popular + rare)), PairsConfig(most=200, later_share=0.0, title_share=0.0, stale=1_000)
    )
    share = np.mean(pairs.left_room_P == 2)
    assert 0.3 < share < 0.7, "a tenth of the visits, each of them ten times as likely: half"


def test_blank_texts_are_in_no_pair_and_the_same_seed_gives_the_same_pairs() -> None:
    examples = Made(blank=frozenset((room, at) for room in range(6) for at in range(0, 40, 2)))
    pairs, again = (made(examples, PairsConfig(most=100)) for _ in range(2))
    assert all(text.strip() for text in pairs.texts)
    assert pairs.texts == again.texts
    assert (pairs.left_P == again.left_P).all()
    other = made(examples, PairsConfig(most=100, seed=8))
    assert pairs.texts != other.texts or (pairs.left_P != other.left_P).any()


def test_nothing_from_the_visits_by_which_a_version_is_judged_is_in_a_pair() -> None:
    visits = tuple((30 * at + 5, at % 3, 20.0, 3 + at % 3) for at in range(3, 40))
    until_ms = SEGMENT_MS * (BEGAN + 20) + 10_000
    whole, parted = (made(Made(visits=visits), PairsConfig(), until) for until in (None, until_ms))
    assert whole.at_P.max() > BEGAN + 30
    assert parted.at_P.max() == BEGAN + 19, "the segment in which the judged visits begin had not closed"
    assert set(parted.kind_P.tolist()) == {0, 1, 2}
    assert len(said(parted, PairKind.COVISIT)) == sum(1_000 * at < until_ms - SEGMENT_MS * BEGAN for at, *_ in visits)


def test_a_text_that_several_rooms_have_is_one_text_and_no_negative_of_itself() -> None:
    pairs = made(Made(one_title=True), PairsConfig(most=30, later_share=0.0, title_share=1.0))
    assert pairs.texts.count("one for all") == 1
    assert pairs.together_BB(np.arange(len(pairs))).all()
    assert {pairs.texts[place] for place in pairs.left_P.tolist()} == {"one for all"}
    assert len({pairs.texts[place] for place in pairs.right_P.tolist()}) > 1


def test_beside_each_text_of_chat_stands_the_title_that_its_room_had_then() -> None:
    pairs = made(Made(), PairsConfig(most=200))
    told = 0
    for left, right, (left_title, right_title) in zip(
        pairs.left_P.tolist(), pairs.right_P.tolist(), pairs.title_P2.tolist(), strict=True
    ):
        for text, title in ((pairs.texts[left], left_title), (pairs.texts[right], right_title)):
            room, word = text.split()
            if word == "title" or int(room) >= 3:
                assert title == -1, "a title tells nothing of itself, and these rooms have none"
            else:
                told += 1
                assert pairs.titles[title] == f"{room} title"
    assert told > 50


def test_a_title_that_was_changed_stands_beside_what_was_said_after_it_alone() -> None:
    texts = ExampleTexts(
        np.array([1, 0, 1, 0, 1, 0, 0], np.int32),
        np.array([-1, BEGAN, BEGAN, -1, BEGAN + 5, BEGAN + 3, BEGAN + 9]),
        np.arange(1, 8),
        np.ones(7, bool),
        np.zeros((7, 2), np.int32),
        ("one", "before", "x", "zero", "y", "after", "late"),
    )

    class Changed(Made):
        def texts(self) -> ExampleTexts:
            return texts

    def known(until_ms: int | None) -> tuple[set[tuple[str, str]], set[str]]:
        pairs = made(Changed(rooms=2), PairsConfig(later_share=1.0, title_share=0.0), until_ms)
        beside = set()
        for side, rows in enumerate((pairs.left_P, pairs.right_P)):
            for row, title in zip(rows.tolist(), pairs.title_P2[:, side].tolist(), strict=True):
                beside.add((pairs.texts[row], pairs.titles[title] if title >= 0 else ""))
        return beside, set(pairs.titles)

    beside, titles = known(None)
    assert {("before", ""), ("x", "one"), ("y", "one"), ("late", "zero")} < beside
    assert ("before", "zero") not in beside
    assert titles == {"one", "zero"}


def test_rooms_without_a_title_give_pairs_without_titles() -> None:
    pairs = made(Made(titled=0), PairsConfig(most=60))
    assert pairs.titles == ()
    assert pairs.title_P2.shape == (len(pairs), 2)
    assert (pairs.title_P2 == -1).all()
