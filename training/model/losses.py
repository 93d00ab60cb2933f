"""Loss functions of the towers. Never owns parameters, never draws a sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Pair = Callable[[Tensor, Tensor], Tensor]  # a loss of two vectors' prefixes


def log_partition(
    logit_BN: Tensor, target_B: Tensor, mask_BN: Tensor | None = None, log_q_BN: Tensor | None = None
) -> Tensor:
    """The log partition [B]: log Σ exp(logit) over all candidates, estimated from those in the list.

    log_q_BN: log of how often a candidate is expected in the list, 0 where it always is. Dividing by it makes the sum
    unbiased (Bengio & Senécal 2008). The target is always in the list, whatever its log_q says: corrected like a
    negative, it would be counted too often where it is rare (arXiv 2507.09331).
    """
    if log_q_BN is not None:
        logit_BN = logit_BN - log_q_BN.scatter(1, target_B[:, None], 0.0)
    if mask_BN is not None:
        logit_BN = logit_BN.masked_fill(~mask_BN.scatter(1, target_B[:, None], value=True), float("-inf"))
    return logit_BN.logsumexp(1)


def viewer_to_room(
    logit_BN: Tensor,
    entered_B: Tensor,
    *,
    mask_BN: Tensor | None = None,
    log_q_BN: Tensor | None = None,
    shown_BN: Tensor | None = None,
    shown_weight: float = 2.0,
) -> Tensor:
    """The cross entropy of the room entered among the rooms live at that time; a scalar.

    entered_B: int64, its place in the list. mask_BN: True where the list has a room. shown_BN: True where a room was
    shown and not entered; it counts as shown_weight rooms.
    """
    weighted_BN = logit_BN
    if shown_BN is not None:
        refused_BN = shown_BN.scatter(1, entered_B[:, None], value=False)
        weighted_BN = logit_BN + refused_BN * math.log(shown_weight)
    target_B1 = logit_BN.gather(1, entered_B[:, None])
    return (log_partition(weighted_BN, entered_B, mask_BN, log_q_BN) - target_B1[:, 0]).mean()


def in_batch(logit_BB: Tensor, id_B: Tensor) -> Tensor:
    """The cross entropy of the diagonal, where row b's negatives are the other rows' items; a scalar.

    id_B: an item that is the row's own target is no negative of it.
    """
    target_B = torch.arange(len(logit_BB), device=logit_BB.device)
    return viewer_to_room(logit_BB, target_B, mask_BN=id_B[:, None] != id_B)


def room_to_room(logit_BB: Tensor, id_B: Tensor, partner_id_B: Tensor) -> Tensor:
    """The InfoNCE loss in both directions over pairs of rooms that one viewer visited within a window; a scalar."""
    return (in_batch(logit_BB, partner_id_B) + in_batch(logit_BB.T, id_B)) / 2


def matryoshka(left: Tensor, right: Tensor, dims: Sequence[int], loss: Pair, *, unit: bool) -> Tensor:
    """The mean of `loss` over prefixes of the last dimension (arXiv 2205.13147), so that short vectors serve; a scalar.

    unit: whether prefixes are brought to length one, as an index of short vectors would.
    """
    total = left.new_zeros(())
    for dim in dims:
        ends = left[..., :dim], right[..., :dim]
        total = total + loss(*(functional.normalize(end, dim=-1) for end in ends) if unit else ends)
    return total / len(dims)
