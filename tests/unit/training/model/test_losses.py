from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional

from tests.bench.catalogue import catalogue_softmax
from training.model.losses import in_batch, log_partition, matryoshka, room_to_room, viewer_to_room


def test_viewer_to_room_is_cross_entropy_over_the_rooms_in_the_list() -> None:
    logit_BN = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 9.0]])
    mask_BN = torch.tensor([[True, True, True], [True, True, False]])
    loss = viewer_to_room(logit_BN, torch.tensor([1, 0]), mask_BN=mask_BN)
    first = math.log(math.e + math.e**2 + math.e**0.5) - 2.0
    second = math.log(1.0 + math.exp(-1.0)) - 0.0
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_shown_and_not_entered_room_counts_as_several() -> None:
    logit_BN = torch.tensor([[1.0, 2.0, 0.5]])
    shown_BN = torch.tensor([[True, True, False]])  # the room entered was shown as well: that is no refusal
    loss = viewer_to_room(logit_BN, torch.tensor([1]), shown_BN=shown_BN, shown_weight=3.0)
    assert loss.item() == pytest.approx(math.log(3 * math.e + math.e**2 + math.e**0.5) - 2.0, rel=1e-6)


def test_log_q_divides_a_negative_by_how_often_it_is_expected_and_leaves_the_target() -> None:
    logit_BN = torch.tensor([[1.0, 2.0, 0.5]])
    log_q_BN = torch.tensor([[0.5, 0.1, 0.25]]).log()
    loss = viewer_to_room(logit_BN, torch.tensor([1]), log_q_BN=log_q_BN)
    assert loss.item() == pytest.approx(math.log(math.e / 0.5 + math.e**2 + math.e**0.5 / 0.25) - 2.0, rel=1e-6)


def test_log_q_makes_the_sampled_sum_and_its_gradient_unbiased() -> None:
    """Over every sample of two negatives, drawn with replacement from an uneven distribution, weighted by chance."""
    logit_N = torch.tensor([0.3, -1.0, 2.0, 0.7], dtype=torch.float64, requires_grad=True)
    share_M = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)  # of items 1, 2, 3; 0 is the target
    draws = 2
    corrected = plain = torch.zeros((), dtype=torch.float64)
    for sample in itertools.product((1, 2, 3), repeat=draws):
        chance = math.prod(share_M[item - 1].item() for item in sample)
        row_BN = logit_N[[0, *sample]][None]
        log_q_BN = torch.cat((torch.zeros(1), (draws * share_M[[item - 1 for item in sample]]).log()))[None]
        target_B = torch.tensor([0])
        corrected = corrected + chance * log_partition(row_BN, target_B, log_q_BN=log_q_BN).exp().sum()
        plain = plain + chance * log_partition(row_BN, target_B).exp().sum()
    full = logit_N.exp().sum()
    assert corrected.item() == pytest.approx(full.item(), rel=1e-12)
    assert plain.item() != pytest.approx(full.item(), rel=0.1)
    (expected_N,) = torch.autograd.grad(full, logit_N)
    (found_N,) = torch.autograd.grad(corrected, logit_N)
    torch.testing.assert_close(found_N, expected_N)


def test_in_batch_hides_copies_of_the_target() -> None:
    logit_BB = torch.tensor([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0], [0.0, 0.3, 1.0]])
    loss = in_batch(logit_BB, torch.tensor([7, 8, 7]))
    rows = [
        math.log(math.e**2 + math.e) - 2.0,  # the third row's item is the first's own
        math.log(math.exp(1.5) + math.exp(0.5) + math.exp(-1.0)) - 1.5,
        math.log(math.e + math.exp(0.3)) - 1.0,
    ]
    assert loss.item() == pytest.approx(sum(rows) / 3, rel=1e-6)


def test_room_to_room_looks_both_ways() -> None:
    logit_BB = torch.tensor([[2.0, 1.0], [0.5, 1.5]])
    loss = room_to_room(logit_BB, torch.tensor([1, 2]), torch.tensor([3, 4]))
    there = (math.log(math.e**2 + math.e) - 2.0 + math.log(math.exp(0.5) + math.exp(1.5)) - 1.5) / 2
    back = (math.log(math.e**2 + math.exp(0.5)) - 2.0 + math.log(math.e + math.exp(1.5)) - 1.5) / 2
    assert loss.item() == pytest.approx((there + back) / 2, rel=1e-6)


def test_matryoshka_is_the_mean_over_prefixes() -> None:
    left_BD, right_BD = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[2.0, 0.0, 1.0, 1.0]])

    def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return (left * right).sum()

    assert matryoshka(left_BD, right_BD, (2, 4), product, unit=False).item() == pytest.approx((2 + 9) / 2)
    cosines = [2 / (5**0.5 * 2), 9 / (30**0.5 * 6**0.5)]
    assert matryoshka(left_BD, right_BD, (2, 4), product, unit=True).item() == pytest.approx(sum(cosines) / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [7, 1_100])  # less than a slice, and several
def test_catalogue_softmax_equals_cross_entropy_with_its_gradients(rows: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(4)
    query_ND = torch.randn(rows, 8, generator=generator, requires_grad=True)
    item_CD = torch.randn(50, 8, generator=generator, requires_grad=True)
    target_N = torch.randint(50, (rows,), generator=generator)
    ours = catalogue_softmax(query_ND, item_CD, target_N, smoothing)
    plain = functional.cross_entropy(query_ND @ item_CD.T, target_N, label_smoothing=smoothing)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    for found, expected in zip(
        torch.autograd.grad(3 * ours, (query_ND, item_CD)),
        torch.autograd.grad(3 * plain, (query_ND, item_CD)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
