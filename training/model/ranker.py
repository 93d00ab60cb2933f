"""The ranker: from features and the towers' outputs to one score per candidate. Never sees a text.

    score = Σ weight · term   (terms like the baseline's: the viewer's habits, and how busy the room is)
          + straight lines between quantiles of each feature, summed, and a small network over the same

The second line begins at zero, so an untrained ranker is the first, and training learns what to add. Features are
encoded by straight lines between their quantiles (Gorishniy et al. 2022, arXiv 2203.05556): what trees get from their
thresholds. Heads: enter (a softmax over the candidate set: its probabilities sum to one), then stay, interact and
leave, given that the room was entered.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import silu

from training.baseline import HEAT, heat
from training.model.config import EXTRA, FRESH_HALF_LIFE_S, HABIT_HALF_LIFE_S, HEADS, LARGE, RankerConfig, TermWeights
from training.model.encoding_kernels import encode_bins

HALVED = -0.6931471805599453
BEYOND = 1e30  # knots of a feature that was never known: no value reaches them


class RankerNetwork(nn.Module):
    """The ranker's network over F features by name and X extra inputs from the towers."""

    def __init__(self, config: RankerConfig, features: tuple[str, ...], knots_FQ: NDArray[np.float32]) -> None:
        """features: their names, in order. knots_FQ: from `knots`, F + X rows."""
        super().__init__()
        self.config, self.features = config, features
        self.knots_FQ: Tensor
        self.register_buffer("knots_FQ", torch.from_numpy(knots_FQ))
        width = knots_FQ.shape[0] * knots_FQ.shape[1]  # bins, and one more for "not known"
        first, second = config.hidden
        self.wide = nn.Linear(width, first)
        self.deep = nn.Linear(first, second)
        self.heads = nn.Linear(second, len(HEADS))
        self.straight = nn.Linear(width, len(HEADS), bias=False)
        self.terms_K = nn.Parameter(torch.tensor(TermWeights()))
        self.dropout = nn.Dropout(config.dropout)
        for layer in (self.heads, self.straight):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.heads.bias)
        with torch.no_grad():  # so it stays: what is encoded as zeros has no gradient
            self.wide.weight[:, (~self._seen()).repeat_interleave(knots_FQ.shape[1])] = 0

    def forward(self, features_RF: Tensor, extra_RX: Tensor, terms_RK: Tensor) -> Tensor:
        """Logits of the four heads [R, 4]. terms_RK: from `terms`."""
        encoded_RW = self.encode(torch.cat((features_RF, extra_RX), 1))
        hidden_RH = self.dropout(silu(self.wide(encoded_RW)))
        logit_R4 = self.heads(silu(self.deep(hidden_RH))) + self.straight(encoded_RW)
        enter_R1 = logit_R4[:, :1] + (terms_RK @ self.terms_K)[:, None]
        return torch.cat((enter_R1, logit_R4[:, 1:]), 1)

    def encode(self, values_RF: Tensor) -> Tensor:
        """The bin encoding of values [R, F·Q]: how far each is through each bin, 0 to 1, then 1 where it is NaN.

        The bins of NaN are 0. A feature that was never known when the knots were made is 0 throughout: it has no say.
        """
        if not values_RF.requires_grad and values_RF.device.type == "cpu":
            values, knots = values_RF.detach().contiguous().numpy(), self.knots_FQ.contiguous().numpy()
            return torch.from_numpy(encode_bins(values, knots, self._seen().numpy()))
        low_FB, high_FB = self.knots_FQ[:, :-1], self.knots_FQ[:, 1:]
        through_RFB = (values_RF[..., None] - low_FB) / (high_FB - low_FB)
        unknown_RF = torch.isnan(values_RF)
        through_RFB = through_RFB.clamp(0, 1).masked_fill(unknown_RF[..., None], 0.0)
        unknown_RF1 = (unknown_RF & self._seen())[..., None]
        return torch.cat((through_RFB, unknown_RF1.to(through_RFB.dtype)), -1).flatten(1)

    def _seen(self) -> Tensor:
        return self.knots_FQ[:, 0] < BEYOND


def knots(features_RF: NDArray[np.float32], bins: int) -> NDArray[np.float32]:
    """Knots of a RankerNetwork, float32 [F + X, bins + 1]: quantiles of the features, even steps of the extra inputs.

    features_RF: columns as RANKED.
    """
    extra_XQ = np.stack([np.linspace(low, high, bins + 1) for low, high in EXTRA.values()]).astype(np.float32)
    return np.concatenate([quantile_knots(features_RF, bins), extra_XQ])


def quantile_knots(values_RF: NDArray[np.float32], bins: int) -> NDArray[np.float32]:
    """Quantiles of each column's known values, float32 [F, bins + 1], ascending; empty bins lie past the last value.

    A value so frequent that it fills a bin alone gets a knot of its own, and the quantiles are those of the others:
    most counts are zero for most rooms, and only the others differ. A column without known values begins at BEYOND.
    """
    knots_FQ = np.empty((values_RF.shape[1], bins + 1), np.float32)
    for feature, column_R in enumerate(values_RF.T):
        known_R = column_R[np.isfinite(column_R)]
        if not len(known_R):
            knots_FQ[feature] = BEYOND * np.arange(1, bins + 2)
            continue
        values, counts = np.unique(known_R, return_counts=True)
        frequent = values[counts * bins > len(known_R)]
        others_R = known_R[~np.isin(known_R, frequent)]
        steps = np.linspace(0, 1, max(bins + 1 - len(frequent), 2))
        quantiles = np.quantile(others_R, steps) if len(others_R) else others_R
        distinct = np.unique(np.concatenate([frequent, quantiles]).astype(np.float64))[: bins + 1]
        distinct = _apart(distinct)
        beyond = distinct[-1] + 1 + np.arange(bins + 1 - len(distinct))  # no value of the past reaches these
        knots_FQ[feature] = np.concatenate([distinct, beyond])
    return knots_FQ


def _apart(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Knots that float32 can tell apart: the others are left out, for their distance would divide by zero."""
    kept = [float(knots[0])]
    for knot in knots[1:].tolist():
        if knot - kept[-1] > 1e-4 * max(1.0, abs(knot)):
            kept.append(knot)
    return np.array(kept)


def terms(column: dict[str, Tensor], alike_R: Tensor, language_R: Tensor, category_R: Tensor) -> Tensor:
    """The ranker's terms [R, 7] in 0..1, in the order of TermWeights, from features by name.

    They resemble the baseline ranker's, in the form that published versions were trained with. alike_R: cosine of
    what the viewer saw and the room. language_R, category_R: shares of the viewer's visits to rooms of the same; their
    roots count. Audiences count by their logarithm, against a fixed number.
    """
    never_R = torch.isnan(column["own_visit_age_s"])
    habit_R = column["own_visits"] / (column["own_visits"] + 2)
    age_R = torch.nan_to_num(column["own_visit_age_s"])
    visited_R = habit_R * torch.exp(HALVED * age_R / HABIT_HALF_LIFE_S) * ~never_R
    heat_R = heat(*(column[name] for name in HEAT))
    term = {
        "visited": visited_R,
        "content": alike_R.clamp_min(0),
        "trending": heat_R.clamp_min(0).log1p() / LARGE,
        "crowd": column["messages_60s"].clamp_min(0).log1p() / LARGE,
        "fresh": torch.exp(HALVED * column["room_age_s"].clamp_min(0) / FRESH_HALF_LIFE_S),
        "language": language_R.sqrt(),
        "category": category_R.sqrt(),
    }
    return torch.stack([term[name] for name in TermWeights._fields], 1)
