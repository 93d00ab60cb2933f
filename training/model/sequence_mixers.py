"""Sequence mixers of the viewer tower: one protocol, three blocks. Never knows what a token stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from streaming.errors import ConfigError
from training.model.dropout import Dropout
from training.model.recurrence import recur
from training.viewer_config import KNOT_STEP, KNOTS, MIXERS, MixerConfig, MixerKind

HIDDEN = -1e4  # exp and SiLU of it are 0 in every precision; infinity would make NaN where nothing is visible


@dataclass(frozen=True, slots=True)
class MixerCache:
    """A block's state after the past of B sequences: tensors whose meaning only the block knows."""

    tensors: tuple[Tensor, ...]


class Mixer(Protocol):
    """A causal residual block over visits.

    Padding may stand before or after a sequence, never inside; what is at padded places is undefined but finite.
    """

    def __call__(self, x_BTD: Tensor, mask_BT: Tensor, at_s_BT: Tensor | None = None) -> Tensor:
        """The outputs [B, T, D]; output t depends on inputs up to t.

        mask_BT: True where there is a visit. at_s_BT: the time of each visit in seconds.
        """

    def start(self, batch: int) -> MixerCache:
        """The state of `batch` sequences without a past."""

    def step(self, x_BD: Tensor, cache: MixerCache, at_s_B: Tensor | None = None) -> tuple[Tensor, MixerCache]:
        """The output [B, D] for one more visit each, and the state after it. The given cache stays as it was."""


def build_mixer(kind: MixerKind, config: MixerConfig) -> Softmax | Hstu | Lru:
    """A new block of a kind. Raises ConfigError: there is no such kind."""
    blocks: dict[str, type[Softmax | Hstu | Lru]] = {"softmax": Softmax, "hstu": Hstu, "lru": Lru}
    if kind not in blocks:
        raise ConfigError(f'mixer is "{kind}"; it must be one of {", ".join(MIXERS)}')
    return blocks[kind](config)


class Softmax(nn.Module):
    """Causal multi-head attention and a feed-forward layer, normalised before each.

    SASRec (arXiv 1808.09781) with a bias by distance in place of absolute positions, so that a sequence may go on.
    """

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.d_model)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)
        self.bias = DistanceBias(config)
        self.ffn = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, at_s_BT: Tensor | None = None) -> Tensor:
        q_BHTE, k_BHTE, v_BHTE = (_split(part, self.heads) for part in self.qkv(self.norm(x_BTD)).chunk(3, dim=-1))
        score_BHTT = q_BHTE * k_BHTE.shape[-1] ** -0.5 @ k_BHTE.transpose(-1, -2)
        score_BHTT += self.bias(mask_BT, at_s_BT).to(score_BHTT.dtype)
        return self._finish(x_BTD, _join(score_BHTT.softmax(-1) @ v_BHTE))

    def start(self, batch: int) -> MixerCache:
        return _empty(self.heads, batch, self.out.weight)

    def step(self, x_BD: Tensor, cache: MixerCache, at_s_B: Tensor | None = None) -> tuple[Tensor, MixerCache]:
        q_BHE, k_BHE, v_BHE = (_split(part[:, None], self.heads) for part in self.qkv(self.norm(x_BD)).chunk(3, dim=-1))
        cache = _append(cache, k_BHE, v_BHE, at_s_B)
        k_BHSE, v_BHSE, at_s_BS = cache.tensors
        score_BHS = q_BHE * k_BHSE.shape[-1] ** -0.5 @ k_BHSE.transpose(-1, -2) + self.bias.last(at_s_BS)
        return self._finish(x_BD, _join(score_BHS.softmax(-1) @ v_BHSE)[:, 0]), cache

    def _finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        kept: Tensor = x + self.dropout(self.out(mixed))
        widened: Tensor = self.dropout(self.ffn(kept))
        return kept + widened


class Hstu(nn.Module):
    """Pointwise attention: SiLU(QKᵀ + bias)V, normalised and gated by U; no softmax, no feed-forward layer.

    HSTU, arXiv 2402.17152, section 3. Sums are divided by max_visits, a constant, so that a sequence may go on.
    """

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.heads, self.scale = config.heads, 1.0 / config.max_visits
        self.norm = nn.LayerNorm(config.d_model)
        self.uvqk = nn.Linear(config.d_model, 4 * config.d_model)
        self.mixed_norm = nn.LayerNorm(config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)
        self.bias = DistanceBias(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, at_s_BT: Tensor | None = None) -> Tensor:
        u_BTD, *vqk = functional.silu(self.uvqk(self.norm(x_BTD))).chunk(4, dim=-1)
        v_BHTE, q_BHTE, k_BHTE = (_split(part, self.heads) for part in vqk)
        score_BHTT = q_BHTE @ k_BHTE.transpose(-1, -2)
        score_BHTT += self.bias(mask_BT, at_s_BT).to(score_BHTT.dtype)
        return self._finish(x_BTD, u_BTD, _join(functional.silu(score_BHTT) @ (v_BHTE * self.scale)))

    def start(self, batch: int) -> MixerCache:
        return _empty(self.heads, batch, self.out.weight)

    def step(self, x_BD: Tensor, cache: MixerCache, at_s_B: Tensor | None = None) -> tuple[Tensor, MixerCache]:
        u_BD, *vqk = functional.silu(self.uvqk(self.norm(x_BD))).chunk(4, dim=-1)
        v_BHE, q_BHE, k_BHE = (_split(part[:, None], self.heads) for part in vqk)
        cache = _append(cache, k_BHE, v_BHE, at_s_B)
        k_BHSE, v_BHSE, at_s_BS = cache.tensors
        score_BHS = functional.silu(q_BHE @ k_BHSE.transpose(-1, -2) + self.bias.last(at_s_BS))
        return self._finish(x_BD, u_BD, _join(score_BHS @ (v_BHSE * self.scale))[:, 0]), cache

    def _finish(self, x: Tensor, u: Tensor, mixed: Tensor) -> Tensor:
        kept: Tensor = x + self.dropout(self.out(self.dropout(self.mixed_norm(mixed) * u)))
        return kept


class Lru(nn.Module):
    """A linear recurrence with a complex diagonal, h ← λh + γBx, and a feed-forward layer, normalised before each.

    LRURec, arXiv 2310.02367, section 3.2, after arXiv 2303.06349; λ = exp(−exp(ν) + i·exp(θ)), |λ| in [0.8, 0.99]
    at the start, γ = √(1 − |λ|²).
    """

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        d = config.d_model
        self.norm = nn.LayerNorm(d)
        self.into = nn.Linear(d, 2 * d)
        self.out = nn.Linear(2 * d, d)
        radius_D, angle_D = torch.linspace(0.8, 0.99, d), torch.rand(d) * torch.pi
        self.nu_D = nn.Parameter((-radius_D.log()).log())
        self.theta_D = nn.Parameter(angle_D.clamp_min(1e-3).log())
        self.ffn = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, at_s_BT: Tensor | None = None) -> Tensor:
        del at_s_BT
        lambda_D, input_BTD = self._input(x_BTD)
        return self._finish(x_BTD, recur(lambda_D, input_BTD * mask_BT[..., None]))

    def start(self, batch: int) -> MixerCache:
        return MixerCache((torch.zeros(batch, len(self.nu_D), dtype=torch.complex64, device=self.nu_D.device),))

    def step(self, x_BD: Tensor, cache: MixerCache, at_s_B: Tensor | None = None) -> tuple[Tensor, MixerCache]:
        del at_s_B
        lambda_D, input_BD = self._input(x_BD)
        state_BD = lambda_D * cache.tensors[0] + input_BD
        return self._finish(x_BD, state_BD), MixerCache((state_BD,))

    def _input(self, x: Tensor) -> tuple[Tensor, Tensor]:
        decay_D = self.nu_D.exp()
        lambda_D = torch.polar((-decay_D).exp(), self.theta_D.exp())
        gamma_D = (1 - (-2 * decay_D).exp()).sqrt()
        projected: Tensor = self.into(self.norm(x)).float()
        return lambda_D, gamma_D * torch.complex(*projected.chunk(2, dim=-1))

    def _finish(self, x: Tensor, state: Tensor) -> Tensor:
        kept: Tensor = x + self.dropout(self.out(torch.cat((state.real, state.imag), dim=-1)))
        widened: Tensor = self.dropout(self.ffn(kept))
        return kept + widened


class FeedForward(nn.Module):
    """A feed-forward layer: normalise, widen, SiLU, narrow."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model)
        self.widen = nn.Linear(config.d_model, config.ffn * config.d_model)
        self.narrow = nn.Linear(config.ffn * config.d_model, config.d_model)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output [..., d_model], to be added to its input."""
        narrowed: Tensor = self.narrow(self.dropout(functional.silu(self.widen(self.norm(x)))))
        return narrowed


class DistanceBias(nn.Module):
    """An attention bias by the number of visits and the time between two visits: a table each, a row per head."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.visits_HK = nn.Parameter(torch.zeros(config.heads, config.max_visits))
        self.time_HK = nn.Parameter(torch.zeros(config.heads, KNOTS)) if config.timed else None

    def forward(self, mask_BT: Tensor, at_s_BT: Tensor | None) -> Tensor:
        """The bias [1 or B, H, T, T]; HIDDEN is added where a visit must not look: at later ones and padding."""
        place_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
        apart_TT = place_T[:, None] - place_T
        bias_BHTT: Tensor = self.visits_HK[:, apart_TT.clamp(0, self.visits_HK.shape[1] - 1)][None]
        bias_BHTT = bias_BHTT + HIDDEN * (apart_TT < 0)
        if self.time_HK is not None and at_s_BT is not None:
            bias_BHTT = bias_BHTT + self._time(self.time_HK, at_s_BT[:, :, None] - at_s_BT[:, None, :])
        return bias_BHTT if mask_BT.all() else bias_BHTT + HIDDEN * ~mask_BT[:, None, None]

    def last(self, at_s_BS: Tensor) -> Tensor:
        """The bias [1 or B, H, 1, S] of the last of S visits to all of them."""
        length = at_s_BS.shape[1]
        back_S = torch.arange(length - 1, -1, -1, device=at_s_BS.device).clamp_max(self.visits_HK.shape[1] - 1)
        bias_BHS = self.visits_HK[:, back_S][None, :, None]
        if self.time_HK is None:
            return bias_BHS
        return bias_BHS + self._time(self.time_HK, (at_s_BS[:, -1:] - at_s_BS)[:, None])

    @staticmethod
    def _time(time_HK: Tensor, apart_s_BTS: Tensor) -> Tensor:
        place_BTS = (apart_s_BTS.clamp_min(0).log1p() / KNOT_STEP).clamp_max(KNOTS - 1.001)
        below_BTS = place_BTS.long()
        share_BTS = (
            place_BTS - below_BTS
        ).float()  # straight lines between knots: a second more moves nothing by a jump
        low_HBTS, high_HBTS = time_HK[:, below_BTS], time_HK[:, below_BTS + 1]
        return (low_HBTS + share_BTS * (high_HBTS - low_HBTS)).transpose(0, 1)


def _split(x_BTD: Tensor, heads: int) -> Tensor:
    batch, length, _ = x_BTD.shape
    return x_BTD.view(batch, length, heads, -1).transpose(1, 2)


def _join(x_BHTE: Tensor) -> Tensor:
    return x_BHTE.transpose(1, 2).flatten(-2)


def _empty(heads: int, batch: int, like: Tensor) -> MixerCache:
    past_BHSE = like.new_zeros(batch, heads, 0, like.shape[0] // heads)
    return MixerCache((past_BHSE, past_BHSE, like.new_zeros(batch, 0)))


def _append(cache: MixerCache, k_BHE: Tensor, v_BHE: Tensor, at_s_B: Tensor | None) -> MixerCache:
    k_BHSE, v_BHSE, at_s_BS = cache.tensors
    at_s_B = at_s_BS.new_zeros(len(at_s_BS)) if at_s_B is None else at_s_B
    return MixerCache(
        (torch.cat((k_BHSE, k_BHE), 2), torch.cat((v_BHSE, v_BHE), 2), torch.cat((at_s_BS, at_s_B[:, None]), 1))
    )
