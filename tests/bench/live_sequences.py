"""Recorded visits as sequences, with what was live at each. Never trains, never scores."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming.recorded.recording import Recording
from training.features.visit_kinds import LIVE_MS, VisitKind
from training.recorded.chat import Chat, Windows, load
from training.recorded.visits import kinds

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "twitch-chat-2025" / "chat.parquet"
LENGTH = 16  # visits before the one predicted, as LiveRec's public code has them
SHORTEST = 4  # half of all viewers here have one visit: those are no sequences


@dataclass(frozen=True)
class Sequences:
    """S sequences of up to LENGTH visits and, for each, the visit after it; padded in front.

    Channels count from 0; at padded places it is 0 and mask_ST False. live_STC: live in the five minutes before the
    target, or the target.
    """

    channel_ST: Tensor
    mask_ST: Tensor
    at_ms_ST: Tensor
    dwell_s_ST: Tensor
    target_ST: Tensor
    target_ms_ST: Tensor
    live_STC: Tensor

    def __len__(self) -> int:
        return len(self.channel_ST)


@dataclass(frozen=True)
class Split:
    """Viewers' sequences up to a time; then up to each viewer's last visit in the windows after it, and after those."""

    train: Sequences
    validation: Sequences
    test: Sequences
    num_channels: int


def read(path: Path, viewers: int, seed: int) -> Split:
    """Windows 0 to 39 to train, 40 to 44 to choose, 45 to 49 to test. viewers: at most as many, drawn by seed, each."""
    if not path.exists():
        sys.exit(f"{path} is not there: give recorded chat with --data (columns at, window, channel, viewer, text)")
    files = [Recording.open(path)]
    chat = load(files, files, Windows(0, 40), Windows(40, 50))
    last_window_us = load(files, files, Windows(0, 45), Windows(45, 50))
    first_us = int(chat.at_us_M[chat.num_train]), int(last_window_us.at_us_M[last_window_us.num_train])
    visits = _visits(chat)
    rng = np.random.default_rng(seed)
    bounds = ((0, first_us[0]), (first_us[0], first_us[1]), (first_us[1], 2**62))
    train, validation, test = (
        _sequences(chat, visits, _last_visits(visits, start, end, viewers, rng)) for start, end in bounds
    )
    return Split(train, validation, test, len(chat.channels))


@dataclass(frozen=True)
class _Visits:
    """V visits, viewer by viewer, each viewer's in time order."""

    viewer_V: NDArray[np.int32]
    channel_V: NDArray[np.int32]
    at_us_V: NDArray[np.int64]
    dwell_s_V: NDArray[np.float32]  # from its first message to its last


def _visits(chat: Chat) -> _Visits:
    order_M = np.argsort(chat.viewer_M, kind="stable")
    begins_M = (kinds(chat) != VisitKind.NO_VISIT)[order_M]
    viewer_M, at_us_M = chat.viewer_M[order_M], chat.at_us_M[order_M]
    first_V = np.flatnonzero(begins_M)
    last_V = np.r_[first_V[1:], len(at_us_M)] - 1
    dwell_s_V = ((at_us_M[last_V] - at_us_M[first_V]) / 1e6).astype(np.float32)
    return _Visits(viewer_M[first_V], chat.channel_M[order_M][first_V], at_us_M[first_V], dwell_s_V)


def _last_visits(
    visits: _Visits, start_us: int, end_us: int, viewers: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Each viewer's last visit in [start, end) that is not the viewer's first, of as many viewers as are wanted."""
    inside = np.flatnonzero((visits.at_us_V >= start_us) & (visits.at_us_V < end_us))
    is_last = np.r_[visits.viewer_V[inside][1:] != visits.viewer_V[inside][:-1], True]
    last = inside[is_last]
    last = last[(last >= SHORTEST) & (visits.viewer_V[last - SHORTEST] == visits.viewer_V[last])]
    return np.sort(rng.choice(last, min(viewers, len(last)), replace=False))


def _sequences(chat: Chat, visits: _Visits, last_S: NDArray[np.intp]) -> Sequences:
    """For each target visit, the LENGTH visits of that viewer before it."""
    index_ST = last_S[:, None] + np.arange(-LENGTH, 0)
    mask_ST = (index_ST >= 0) & (visits.viewer_V[index_ST] == visits.viewer_V[last_S][:, None])
    index_ST = np.where(mask_ST, index_ST, 0)
    after_ST = np.where(mask_ST, index_ST + 1, 0)
    target_ST, target_us_ST = visits.channel_V[after_ST], visits.at_us_V[after_ST]
    live_STC = _live(chat, target_us_ST) & mask_ST[..., None]
    np.put_along_axis(live_STC, target_ST[..., None].astype(np.intp), True, axis=2)
    return Sequences(
        channel_ST=torch.from_numpy(np.where(mask_ST, visits.channel_V[index_ST], 0).astype(np.int64)),
        mask_ST=torch.from_numpy(mask_ST),
        at_ms_ST=torch.from_numpy(visits.at_us_V[index_ST] // 1_000),
        dwell_s_ST=torch.from_numpy(visits.dwell_s_V[index_ST]),
        target_ST=torch.from_numpy(target_ST.astype(np.int64)),
        target_ms_ST=torch.from_numpy(target_us_ST // 1_000),
        live_STC=torch.from_numpy(live_STC),
    )


def _live(chat: Chat, at_us_ST: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[S, T, C]: whether a channel had a message in the five minutes before, strictly."""
    live_STC = np.zeros((*at_us_ST.shape, len(chat.channels)), bool)
    for channel in range(len(chat.channels)):
        at_us_M = np.r_[-(2**62), chat.at_us_M[chat.channel_M == channel]]
        before_ST = at_us_M[np.searchsorted(at_us_M, at_us_ST, side="left") - 1]
        live_STC[..., channel] = at_us_ST - before_ST <= LIVE_MS * 1_000
    return live_STC
