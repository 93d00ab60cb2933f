"""The viewer tower: from past visits to one vector per time of prediction. Never sees a candidate room."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from streaming.errors import ConfigError
from training.model.dropout import Dropout
from training.model.sequence_mixers import build_mixer
from training.viewer_config import HARMONICS, KNOT_STEP, KNOTS, ViewerConfig

__all__ = ["ViewerConfig", "ViewerTower", "Visits", "elapsed_s", "since_same_s"]


@dataclass(frozen=True, slots=True)
class Visits:
    """Past visits of B viewers, oldest first, padded before or after. Seconds are float32.

    gap_s_BT: from the visit to the next one, to now at the last. since_same_s_BT: from the viewer's visit before it to
    the same streamer, below 0 where there is none. hour_BT: [0, 24), the viewer's, of the time predicted for.
    """

    item_BTD: Tensor  # what was visited, embedded by the caller: streamer and codes
    mask_BT: Tensor  # True where there is a visit
    action_BT: Tensor | None = None  # int64
    dwell_s_BT: Tensor | None = None
    gap_s_BT: Tensor | None = None
    since_same_s_BT: Tensor | None = None
    hour_BT: Tensor | None = None


class ViewerTower(nn.Module):
    """The viewer tower. Output t is the vector at visit t + 1: it knows visits up to t, and when the next happens."""

    def __init__(self, config: ViewerConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        self.project = nn.Linear(config.d_item, d, bias=False) if config.d_item != d else None
        self.action = nn.Embedding(config.actions, d) if config.actions else None
        self.durations = Durations(d) if config.timed else None
        self.norm = nn.LayerNorm(d)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(build_mixer(config.mixer, config.block()) for _ in range(config.blocks))
        self.last_norm = nn.LayerNorm(d)
        self.moment = MomentEncoding(config) if config.timed or config.hourly else None

    def forward(self, visits: Visits) -> Tensor:
        """Vectors after each visit [B, T, d_model]; undefined but finite where there is none.

        Raises ConfigError: an input is missing.
        """
        x_BTD = self._tokens(visits)
        at_s_BT = None if visits.gap_s_BT is None else elapsed_s(visits.gap_s_BT, visits.mask_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, visits.mask_BT, at_s_BT)
        y_BTD: Tensor = self.last_norm(x_BTD)
        if self.moment is not None:
            y_BTD = self.moment(y_BTD, visits.gap_s_BT, visits.hour_BT)
        return functional.normalize(y_BTD, dim=-1) if self.config.unit else y_BTD

    def latest(self, visits: Visits) -> Tensor:
        """The vectors for now [B, d_model], from all visits. Zeros without any: no room is nearer than another."""
        length = visits.mask_BT.shape[1]
        place_BT = torch.arange(length, device=visits.mask_BT.device) * visits.mask_BT
        last_B = place_BT.argmax(1)
        every_BTD: Tensor = self(visits)
        return every_BTD[torch.arange(len(last_B), device=last_B.device), last_B] * visits.mask_BT.any(1)[:, None]

    def _tokens(self, visits: Visits) -> Tensor:
        x_BTD: Tensor = visits.item_BTD if self.project is None else self.project(visits.item_BTD)
        if self.action is not None:
            x_BTD = x_BTD + self.action(_required(visits.action_BT, "action_BT"))
        if self.durations is not None:
            x_BTD = x_BTD + self.durations(visits)
        embedded: Tensor = self.dropout(self.norm(x_BTD))
        return embedded


class Duration(nn.Module):
    """An embedding of a duration: straight lines between knots in log(1 + seconds)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.knots_KD = nn.Parameter(torch.randn(KNOTS, d_model) * 0.02)

    def forward(self, duration_s: Tensor) -> Tensor:
        """Embeddings [..., d_model] of durations [...] in seconds."""
        place = (duration_s.clamp_min(0).log1p() / KNOT_STEP).clamp_max(KNOTS - 1)
        knots_K = torch.arange(KNOTS, dtype=place.dtype, device=place.device)
        near_K: Tensor = (1 - (place[..., None] - knots_K).abs()).clamp_min(0)
        return near_K @ self.knots_KD


class Durations(nn.Module):
    """An embedding of a visit's times: how long it was, the gap before it, and how long since the same streamer."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.dwell, self.gap, self.since_same = Duration(d_model), Duration(d_model), Duration(d_model)
        self.first_D = nn.Parameter(torch.zeros(d_model))

    def forward(self, visits: Visits) -> Tensor:
        """Embeddings [B, T, d_model], to be added to the visits'. Raises ConfigError: a time is missing."""
        gap_s_BT = _required(visits.gap_s_BT, "gap_s_BT") * visits.mask_BT
        before_BT = functional.pad(gap_s_BT[:, :-1], (1, 0))
        since_BT = _required(visits.since_same_s_BT, "since_same_s_BT")
        since_BTD = torch.where((since_BT < 0)[..., None], self.first_D, self.since_same(since_BT))
        added: Tensor = self.dwell(_required(visits.dwell_s_BT, "dwell_s_BT")) + self.gap(before_BT) + since_BTD
        return added


class MomentEncoding(nn.Module):
    """An embedding of the time predicted for: how long ago the last visit was, and the viewer's hour."""

    def __init__(self, config: ViewerConfig) -> None:
        super().__init__()
        d = config.d_model
        self.gap = Duration(2 * d) if config.timed else None
        self.hour = nn.Linear(2 * HARMONICS, 2 * d, bias=False) if config.hourly else None
        self.widen = nn.Linear(d, 2 * d)
        self.narrow = nn.Linear(2 * d, d)

    def forward(self, y_BTD: Tensor, gap_s_BT: Tensor | None, hour_BT: Tensor | None) -> Tensor:
        """Vectors [B, T, d_model] with the time predicted for added. Raises ConfigError: a time is missing."""
        wide_BTD = self.widen(y_BTD)
        if self.gap is not None:
            wide_BTD = wide_BTD + self.gap(_required(gap_s_BT, "gap_s_BT"))
        if self.hour is not None:
            wide_BTD = wide_BTD + self.hour(around_the_clock(_required(hour_BT, "hour_BT")))
        moved: Tensor = y_BTD + self.narrow(functional.silu(wide_BTD))
        return moved


def around_the_clock(hour: Tensor) -> Tensor:
    """Sines, then cosines [..., 2·HARMONICS] of the hour's place in the day and in its halves and thirds."""
    turns = torch.arange(1, HARMONICS + 1, dtype=hour.dtype, device=hour.device)
    angle = hour[..., None] * turns * (2 * math.pi / 24)
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


def elapsed_s(gap_s_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The time of each visit in seconds from the first, float64 [B, T]: in float32 a year would swallow seconds."""
    kept_BT = gap_s_BT.double() * mask_BT
    return kept_BT.cumsum(1) - kept_BT


def since_same_s(streamers: Iterable[int], at_s: Iterable[float]) -> list[float]:
    """Seconds since the last visit to the same streamer, for one viewer's visits in time order; -1 for none."""
    last_s: dict[int, float] = {}
    since = []
    for streamer, moment_s in zip(streamers, at_s, strict=True):
        since.append(moment_s - last_s[streamer] if streamer in last_s else -1.0)
        last_s[streamer] = moment_s
    return since


def _required(feature: Tensor | None, name: str) -> Tensor:
    if feature is None:
        raise ConfigError(f"the viewer tower is configured to see {name}, but it is not given")
    return feature
