"""The LiveRec architecture as published, in plain PyTorch, to be measured against. Never ours, never tuned.

Rappaz, McAuley, Aberer, "Recommendation on Live-Streaming Platforms: Dynamic Availability and Repeat Consumption",
RecSys 2021, and its public code: a causal encoder of the visits; at every step an attention among those of the items
available then that score best so far, each with an embedding of the time since the viewer's last visit to it; one
negative a step, drawn from what is available; binary cross entropy. Kinder to it than the public code in two places:
padding is hidden from the attention over items, and negatives are drawn in one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STEP_MS = 600_000  # the paper's time step, ten minutes
HALF_DAY, DAY, LONGEST = 77, 144, 3_144  # steps: intervals are told apart by days, the first one is half


@dataclass(frozen=True)
class LiveRecConfig:
    """The public code's defaults."""

    dimension: int = 64
    heads: int = 4
    encoder_layers: int = 2
    item_layers: int = 2
    visits: int = 16
    kept_items: int = 64
    dropout: float = 0.2
    batch: int = 100
    lr: float = 5e-4


class Layers(nn.Module):
    """Attention layers as in the public code: the normed query is what the residual adds to."""

    def __init__(self, config: LiveRecConfig, layers: int) -> None:
        super().__init__()
        d = config.dimension
        self.before = nn.ModuleList(nn.LayerNorm(d, eps=1e-8) for _ in range(layers))
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(d, config.heads, config.dropout, batch_first=True) for _ in range(layers)
        )
        self.between = nn.ModuleList(nn.LayerNorm(d, eps=1e-8) for _ in range(layers))
        self.pointwise = nn.ModuleList(
            nn.Sequential(
                nn.Linear(d, d), nn.Dropout(config.dropout), nn.ReLU(), nn.Linear(d, d), nn.Dropout(config.dropout)
            )
            for _ in range(layers)
        )
        self.after = nn.LayerNorm(d, eps=1e-8)

    def forward(self, x_BTD: Tensor, real_BT: Tensor, *, causal: bool) -> Tensor:
        """[B, T, D]. Causal: padded places are zeros, as there; otherwise they are hidden."""
        length = x_BTD.shape[1]
        later_TT = torch.ones(length, length, dtype=torch.bool, device=x_BTD.device).triu(1) if causal else None
        for before, attend, between, pointwise in zip(
            self.before, self.attention, self.between, self.pointwise, strict=True
        ):
            if causal:
                x_BTD = x_BTD * real_BT[..., None]
            query_BTD = before(x_BTD)
            found_BTD, _ = attend(
                query_BTD, x_BTD, x_BTD, attn_mask=later_TT, key_padding_mask=None if causal else ~real_BT,
                need_weights=False,
            )  # fmt: skip
            x_BTD = between(query_BTD + found_BTD)
            x_BTD = x_BTD + pointwise(x_BTD)
        normed: Tensor = self.after(x_BTD * real_BT[..., None] if causal else x_BTD)
        return normed


@dataclass(frozen=True)
class Steps:
    """B sequences of T steps, padded in front. Items count from 1, 0 is padding. Times are int64 ms."""

    item_BT: Tensor
    at_ms_BT: Tensor
    target_BT: Tensor
    target_ms_BT: Tensor
    available_BTN: Tensor  # items available at the target's time, 0 after the last


@dataclass(frozen=True)
class Offer:
    """P real steps: where they are, the encoder's state, what was available, and the K items kept of it."""

    at: tuple[Tensor, Tensor]
    state_PD: Tensor
    item_PN: Tensor
    place_PK: Tensor  # places in item_PN
    kept_PKD: Tensor  # after the attention among them

    def logit(self, item_P: Tensor) -> Tensor:
        """[P]: of one item each, 0 where it was not kept."""
        same_PK = self.item_PN.gather(1, self.place_PK) == item_P[:, None]
        return ((self.kept_PKD * same_PK[..., None]).sum(1) * self.state_PD).sum(-1)


class LiveRec(nn.Module):
    """The model, its loss and its scores."""

    def __init__(self, config: LiveRecConfig, num_items: int) -> None:
        super().__init__()
        self.config = config
        d = config.dimension
        self.items = nn.Embedding(num_items + 1, d, padding_idx=0)
        self.places = nn.Embedding(config.visits, d)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Layers(config, config.encoder_layers)
        self.among = Layers(config, config.item_layers)
        self.bounds: Tensor
        self.register_buffer("bounds", torch.tensor([0, *range(HALF_DAY, LONGEST, DAY)]))
        self.intervals = nn.Embedding(len(self.bounds) + 2, d, padding_idx=0)

    def loss(self, steps: Steps) -> Tensor:
        """Scalar: the sum over steps of the binary cross entropy of the target and of one negative."""
        offer = self._offer(steps)
        target_P = steps.target_BT[offer.at]
        others_PN = ((offer.item_PN != 0) & (offer.item_PN != target_P[:, None])).float()
        negative_P = offer.item_PN.gather(1, torch.multinomial(others_PN + 1e-9, 1))[:, 0]
        target_logit_P, negative_logit_P = offer.logit(target_P), offer.logit(negative_P)
        return -(functional.logsigmoid(target_logit_P) + functional.logsigmoid(-negative_logit_P)).sum()

    @torch.no_grad()
    def scores(self, steps: Steps) -> Tensor:
        """[B, N]: of what is available at the last step; an item that was not kept scores 0, as in the public code."""
        offer = self._offer(steps)
        last_P = offer.at[1] == steps.item_BT.shape[1] - 1
        score_BK = (offer.state_PD[last_P][:, None] * offer.kept_PKD[last_P]).sum(-1)
        available_BN = steps.available_BTN[:, -1]
        score_BN = torch.zeros_like(available_BN, dtype=torch.float32).scatter(1, offer.place_PK[last_P], score_BK)
        return score_BN.masked_fill(available_BN == 0, float("-inf"))

    def _offer(self, steps: Steps) -> Offer:
        real_BT = steps.item_BT != 0
        x_BTD = self.items(steps.item_BT) * self.config.dimension**0.5
        x_BTD = self.dropout(x_BTD + self.places.weight[: x_BTD.shape[1]])
        at = torch.nonzero(real_BT, as_tuple=True)
        state_PD, item_PN = self.encoder(x_BTD, real_BT, causal=True)[at], steps.available_BTN[at]
        offered_PND = self.items(item_PN) + self.intervals(self._since(steps)[at])
        score_PN = (offered_PND * state_PD[:, None]).sum(-1).masked_fill(item_PN == 0, float("-inf"))
        place_PK = score_PN.topk(min(self.config.kept_items, score_PN.shape[1]), dim=1).indices
        kept_PKD = offered_PND.gather(1, place_PK[..., None].expand(-1, -1, offered_PND.shape[-1]))
        kept_PKD = self.among(kept_PKD, item_PN.gather(1, place_PK) != 0, causal=False)
        return Offer((at[0], at[1]), state_PD, item_PN, place_PK, kept_PKD)

    def _since(self, steps: Steps) -> Tensor:
        """[B, T, N]: which interval lies between a step and the viewer's last visit to each item; 0 for never."""
        length = steps.item_BT.shape[1]
        past_ST = torch.ones(length, length, dtype=torch.bool, device=steps.item_BT.device).triu()
        same_BSTN = (steps.item_BT[:, :, None, None] == steps.available_BTN[:, None]) & past_ST[None, :, :, None]
        when_BSTN = steps.at_ms_BT[:, :, None, None] * same_BSTN
        since_BTN = (steps.target_ms_BT[:, :, None] - when_BSTN.amax(1)) // STEP_MS
        interval_BTN = torch.bucketize(since_BTN, self.bounds) + 1
        return interval_BTN * same_BSTN.any(1) * (steps.available_BTN != 0)
