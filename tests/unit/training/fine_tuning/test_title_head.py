"""The head that tells titles: what it is to tell, and its loss on a case made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.fine_tuning.title_head import TitleHead, TitleTokens

CHESS, BLITZ, POKER, LIVE, ODD = 11, 12, 13, 14, 15
# five titles, of which one is about nothing that another has
TITLES = [[CHESS, LIVE, CHESS], [BLITZ, CHESS, LIVE], [BLITZ, LIVE], [POKER, LIVE, ODD], [POKER, LIVE]]


def test_a_token_counts_by_how_few_titles_have_it_and_those_of_one_or_of_all_do_not() -> None:
    told = TitleTokens(TITLES)
    assert told.tokens == [CHESS, BLITZ, POKER]
    assert told.of([0, 1, 3, -1]).tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]]


def test_a_rarer_token_counts_more() -> None:
    told = TitleTokens([[1, 2], [1], [1, 2], [1, 3], [3]])  # 1 in four of five, 2 and 3 in two
    assert told.tokens == [1, 2, 3]
    often, seldom = math.log(5 / 4), math.log(5 / 2)
    assert told.of([0])[0].tolist() == pytest.approx([often / (often + seldom), seldom / (often + seldom), 0])


def test_titles_that_have_nothing_in_common_and_no_titles_leave_nothing_to_tell() -> None:
    assert TitleTokens([[1], [2, 3]]).tokens == []
    assert TitleTokens(()).tokens == []


def test_the_loss_is_the_mean_of_minus_log_p_over_the_texts_that_have_a_title() -> None:
    head = TitleHead(TitleTokens(TITLES), 4, torch.device("cpu"), decay=0.0)
    with torch.no_grad():
        head.layer.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 0]]))
        head.layer.bias.copy_(torch.tensor([0.0, 0.5, -1.0]))
    vectors = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]])
    # the scale is sqrt(4): logits of the first are 2, .5, −1, of the second 0, 4.5, −1; the third has no title
    first = np.array([2, 0.5, -1.0])
    second = np.array([0, 4.5, -1.0])
    nll = [np.log(np.exp(row).sum()) - row for row in (first, second)]
    expected = (nll[0][0] + (nll[1][0] + nll[1][1]) / 2) / 2
    assert float(head.loss(vectors, [0, 1, -1]).detach()) == pytest.approx(expected, rel=1e-5)


def test_texts_without_a_title_cost_nothing_and_still_give_each_process_a_gradient() -> None:
    head = TitleHead(TitleTokens(TITLES), 4, torch.device("cpu"), decay=0.0)
    loss = head.loss(torch.eye(4)[:2], [-1, -1])
    loss.backward()
    assert float(loss.detach()) == 0
    assert head.layer.weight.grad is not None
    assert not head.layer.weight.grad.any()


def test_it_begins_with_how_frequent_each_token_is() -> None:
    told = TitleTokens(TITLES)
    head = TitleHead(told, 4, torch.device("cpu"), decay=0.0)
    entropy = float(head.loss(torch.eye(4)[:1], [0]).detach())
    assert entropy == pytest.approx(-math.log(told.share_V[0] / told.share_V.sum()), rel=1e-4)
