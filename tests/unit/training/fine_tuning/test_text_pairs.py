"""Pairs of texts: what a batch holds, what is no negative, and a folder of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streaming.errors import TrainingError
from training.fine_tuning.text_pairs import ARRAYS, TEXTS, TITLES, PairKind, TextPairs


def pairs_of(left: list[int], right: list[int], rooms: list[tuple[int, int]], at: list[int] | None = None) -> TextPairs:
    """Pairs with the texts "text 0", "text 1" and so on."""
    texts = tuple(f"text {number}" for number in range(max(left + right) + 1))
    room_P2 = np.array(rooms, np.int32)
    times = np.array(at if at is not None else range(len(left)), np.int64)
    kinds = np.full(len(left), PairKind.LATER, np.int8)
    return TextPairs(
        texts, np.array(left, np.int32), np.array(right, np.int32), room_P2[:, 0], room_P2[:, 1], times, kinds
    )


def many(count: int) -> TextPairs:
    return pairs_of(list(range(count)), list(range(count, 2 * count)), [(number, number) for number in range(count)])


def test_a_pass_has_each_pair_once_in_batches_of_one_time_and_another_order_each_time() -> None:
    pairs = many(1_000)
    passes = [pairs.batches(50, 7, epoch) for epoch in (0, 0, 1)]
    assert sorted(np.concatenate(passes[0]).tolist()) == list(range(1_000))
    assert all(batch.max() - batch.min() <= 3 * 50 for batch in passes[0])
    assert [batch.tolist() for batch in passes[0]] == [batch.tolist() for batch in passes[1]]
    assert [batch.tolist() for batch in passes[0]] != [batch.tolist() for batch in passes[2]]
    assert max(abs(float(batch.mean() - after.mean())) for batch, after in pairwise(passes[0])) > 5 * 50, (
        "not in time order"
    )


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (50, [50]), (120, [50, 50])])
def test_few_pairs_are_one_batch_and_a_rest_is_left_out(count: int, sizes: list[int]) -> None:
    pairs = many(count) if count else many(1).__class__((), *(np.zeros(0, np.int32),) * 6)
    assert [len(batch) for batch in pairs.batches(50, 7, 0)] == sizes


def test_pairs_with_a_room_or_a_text_in_common_are_no_negatives_of_each_other() -> None:
    apart, same_room, crossing, same_text = (10, 11), (1, 12), (13, 1), (14, 15)
    pairs = pairs_of([0, 2, 4, 6, 0], [1, 3, 5, 7, 9], [(1, 1), apart, same_room, crossing, same_text])
    together_BB = pairs.together_BB(np.arange(5))
    assert together_BB[0].tolist() == [True, False, True, True, True]
    assert together_BB[1].tolist() == [False, True, False, False, False]
    assert (together_BB == together_BB.T).all()


def test_a_folder_gives_back_what_was_written_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    pairs = replace(many(5), titles=("a", "b"), title_P2=np.array([[0, -1]] * 4 + [[1, 0]], np.int32))
    pairs.save(tmp_path / "run")
    again = TextPairs.load(tmp_path / "run")
    assert again.texts == pairs.texts
    assert (again.right_P == pairs.right_P).all()
    assert again.at_P.dtype == np.int64
    assert again.titles == ("a", "b")
    assert again.title_P2.tolist() == pairs.title_P2.tolist()
    for name in (ARRAYS, TEXTS, TITLES):
        content = (tmp_path / "run" / name).read_bytes()
        (tmp_path / "run" / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(TrainingError, match=str(tmp_path)):
            TextPairs.load(tmp_path / "run")
        (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(TrainingError):
        TextPairs.load(tmp_path / "none")
