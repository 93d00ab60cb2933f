"""How much of its vectors a language model owes to each layer and each feed-forward unit, measured on texts.

A layer counts by what leaving it out does to the vectors (arXiv 2402.02834 measures perplexity instead); a unit by
the mean size of what it adds to a token's state (arXiv 2407.14679, with the weights behind it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from training.compression.structure import drop_layer, feed_forwards_of, without_layer
from training.fine_tuning.encoder_learner import layers_of
from training.fine_tuning.text_vectors import TextVectors

BATCH = 64  # texts


@torch.inference_mode()
def vectors_of(texts: TextVectors, rows: Sequence[int]) -> Tensor:
    """Unit vectors of some texts without gradients, float32 [N, D]."""
    return torch.cat([texts(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)])


def drop_least_important_layers(texts: TextVectors, count: int, rows: Sequence[int]) -> list[int]:
    """Takes `count` layers out of a model, one by one: each time the one whose absence changes vectors least.

    Vectors are compared with the whole model's, by their mean cosine over some texts. The layers left, by number.
    """
    model = texts.model
    left = list(range(len(layers_of(model))))
    whole_ND = vectors_of(texts, rows)
    for _ in range(count):
        likeness = []
        for place in range(len(left)):
            with without_layer(model, place):
                likeness.append(float((vectors_of(texts, rows) * whole_ND).sum(1).mean()))
        least = max(range(len(left)), key=likeness.__getitem__)
        drop_layer(model, least)
        del left[least]
    return left


@torch.no_grad()
def unit_importance(texts: TextVectors, rows: Sequence[int]) -> list[Tensor]:
    """By layer, the importance of each unit of its feed-forward network, float32 [U].

    It is the unit's mean absolute activation over the tokens of some texts, times the length of its weights to the
    state: the mean length of what it adds.
    """
    networks = feed_forwards_of(texts.model)
    sums = [torch.zeros(network.down.in_features, device=texts.device) for network in networks]
    tokens, mask = 0, torch.empty(0)

    def adder(place: int) -> Callable[[object, tuple[Tensor, ...]], None]:
        def add(_: object, given: tuple[Tensor, ...]) -> None:
            sums[place] += (given[0].float().abs() * mask.unsqueeze(-1)).sum((0, 1))

        return add

    hooks = [network.down.register_forward_pre_hook(adder(place)) for place, network in enumerate(networks)]
    try:
        for at in range(0, len(rows), BATCH):
            ids, mask = texts.padded(rows[at : at + BATCH])
            texts.of(ids, mask)
            tokens += int(mask.sum())
    finally:
        for hook in hooks:
            hook.remove()
    return [
        total / tokens * network.down.weight.float().norm(dim=0) for total, network in zip(sums, networks, strict=True)
    ]


def most_important(importance_U: Tensor, count: int) -> Tensor:
    """The places of the `count` greatest, in order, int64 [count]; of equal ones the first."""
    return importance_U.argsort(descending=True, stable=True)[:count].sort().values
