"""Candidate sets made from recorded chat: each visit's past, and the rooms live then. Never looks ahead or learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.recorded.replay import Channel
from training.content.declared_labels import LABELS, UNKNOWN, label
from training.features.visit_kinds import VisitKind
from training.model.batches import CandidateSets, ContentTable, VisitSequences
from training.recorded.chat import Chat
from training.recorded.content_timeline import ContentRows
from training.recorded.replay_state import Moment

NOT_TOLD = Channel()  # a channel without any label


class ContentTables(Protocol):
    """The content of channels over time, as rows of two tables."""

    now_RD: NDArray[np.float16]
    mean_RD: NDArray[np.float16]

    def rows(self, channels_N: NDArray[np.intp], at_us: int | NDArray[np.int64]) -> ContentRows:
        """The rows with the content known strictly before the time."""


class NoContent:
    """The content of recordings that were not encoded: one row of zeros."""

    def __init__(self, d_content: int) -> None:
        self.now_RD: NDArray[np.float16] = np.zeros((1, d_content), np.float16)
        self.mean_RD = self.now_RD

    def rows(self, channels_N: NDArray[np.intp], at_us: int | NDArray[np.int64]) -> ContentRows:
        """The one row, for every channel."""
        return ContentRows(np.zeros_like(channels_N), np.zeros_like(channels_N))


class Shuffled:
    """A placebo: every row of content is replaced by another, always the same one. Models learn only noise from it."""

    def __init__(self, contents: ContentTables, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.now_RD = contents.now_RD[rng.permutation(len(contents.now_RD))]
        self.mean_RD = contents.mean_RD.copy()
        self.mean_RD[1:] = contents.mean_RD[1:][rng.permutation(len(contents.mean_RD) - 1)]
        self._contents = contents

    def rows(self, channels_N: NDArray[np.intp], at_us: int | NDArray[np.int64]) -> ContentRows:
        """The rows of the original content."""
        return self._contents.rows(channels_N, at_us)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedVisits:
    """All W visits of a recording, by viewer and then time: columns of a visit, and where each viewer's begin."""

    message_W: NDArray[np.int64]
    at_us_W: NDArray[np.int64]
    channel_W: NDArray[np.intp]
    viewer_W: NDArray[np.int64]
    dwell_s_W: NDArray[np.float32]  # from the first message of the visit to the last
    messages_W: NDArray[np.int32]
    since_same_s_W: NDArray[np.float32]  # from the viewer's previous visit to the same channel, -1 for none
    first_W: NDArray[np.int64]  # the first visit of the same viewer
    visit_M: NDArray[np.int64]  # the visit that a message begins, else undefined


def find_visits(chat: Chat, kind_M: NDArray[np.int8]) -> RecordedVisits:
    """The visits that `training/recorded/visits.py` finds, with their outcomes."""
    order_M = np.argsort(chat.viewer_M, kind="stable")
    begins_M = kind_M[order_M] != VisitKind.NO_VISIT
    number_M = np.cumsum(begins_M) - 1
    message_W = order_M[begins_M]
    at_us_W, viewer_W = chat.at_us_M[message_W], chat.viewer_M[message_W].astype(np.int64)
    channel_W = chat.channel_M[message_W].astype(np.intp)
    ends_W = np.r_[np.flatnonzero(begins_M)[1:], len(order_M)] - 1  # a viewer's first message begins a visit
    last_us_W = chat.at_us_M[order_M[ends_W]]
    by_pair_W = np.lexsort((at_us_W, channel_W, viewer_W))
    same_W = np.diff(channel_W[by_pair_W], prepend=-1) == 0
    same_W &= np.diff(viewer_W[by_pair_W], prepend=-1) == 0
    since_W = np.full(len(message_W), -1, np.float32)
    since_W[by_pair_W] = np.where(same_W, np.diff(at_us_W[by_pair_W], prepend=0) / 1e6, -1)
    visit_M = np.zeros(len(order_M), np.int64)
    visit_M[message_W] = np.arange(len(message_W))
    return RecordedVisits(
        message_W=message_W,
        at_us_W=at_us_W,
        channel_W=channel_W,
        viewer_W=viewer_W,
        dwell_s_W=((last_us_W - at_us_W) / 1e6).astype(np.float32),
        messages_W=np.bincount(number_M, minlength=len(message_W)).astype(np.int32),
        since_same_s_W=since_W,
        first_W=np.maximum.accumulate(np.where(np.diff(viewer_W, prepend=-1) != 0, np.arange(len(viewer_W)), 0)),
        visit_M=visit_M,
    )


def vocabulary(chat: Chat, entered: Sequence[int]) -> tuple[str, ...]:
    """The names of the channels entered, in order: each gets a row, from 1 on."""
    return tuple(sorted({chat.channels[channel] for channel in entered}))


def channel_labels(channels: Sequence[str], known: Mapping[str, Channel]) -> NDArray[np.int32]:
    """Language and category of each channel, int32 [C, 2]; UNKNOWN where they are not known."""
    told = [known.get(channel, NOT_TOLD) for channel in channels]
    return np.array([(label(one.language), label(one.category)) for one in told], np.int32).reshape(-1, LABELS)


def rows_of(names: Sequence[str], streamers: Sequence[str]) -> NDArray[np.int32]:
    """The row of each name among the streamers, int32 [C]; 0 for other names."""
    row: Mapping[str, int] = {name: index + 1 for index, name in enumerate(streamers)}
    return np.array([row.get(name, 0) for name in names], np.int32)


def slates_of(
    moments: Sequence[Moment],
    visits: RecordedVisits,
    contents: ContentTables,
    *,
    row_C: NDArray[np.int32],
    labels_C2: NDArray[np.int32],
    max_visits: int,
) -> CandidateSets:
    """One candidate set per moment, with the viewer's visits before it. row_C, labels_C2: of each channel."""
    size_V = np.array([len(moment.live_N) for moment in moments], np.int32)
    live_R = np.concatenate([moment.live_N for moment in moments])
    at_us_V = np.array([moment.at_us for moment in moments], np.int64)
    visit_V = visits.visit_M[[moment.message for moment in moments]]
    content = contents.rows(live_R, np.repeat(at_us_V, size_V))
    return CandidateSets(
        at_ms_V=at_us_V // 1_000,
        viewer_V=visits.viewer_W[visit_V],
        size_V=size_V,
        entered_V=np.array([moment.entered for moment in moments], np.int32),
        kind_V=np.array([moment.kind for moment in moments], np.int8),
        stay_s_V=visits.dwell_s_W[visit_V],
        interacted_V=visits.messages_W[visit_V] > 1,
        features_RF=np.concatenate([moment.features_NF for moment in moments]),
        streamer_R=row_C[live_R],
        now_R=content.now_N.astype(np.int32),
        mean_R=content.mean_N.astype(np.int32),
        labels_R2=labels_C2[live_R],
        shown_R=np.zeros(len(live_R), np.bool_),
        log_q_R=np.zeros(len(live_R), np.float32),
        pasts=_pasts(visit_V, visits, contents, row_C=row_C, labels_C2=labels_C2, T=max_visits),
        contents=ContentTable(contents.now_RD, contents.mean_RD),
    )


def _pasts(
    visit_V: NDArray[np.int64],
    visits: RecordedVisits,
    contents: ContentTables,
    *,
    row_C: NDArray[np.int32],
    labels_C2: NDArray[np.int32],
    T: int,
) -> VisitSequences:
    visit_VT = visit_V[:, None] - T + np.arange(T)
    there_VT = visit_VT >= visits.first_W[visit_V][:, None]
    visit_VT[~there_VT] = 0
    content = contents.rows(visits.channel_W, visits.at_us_W)
    next_us_VT = np.concatenate([visits.at_us_W[visit_VT[:, 1:]], visits.at_us_W[visit_V][:, None]], axis=1)
    gap_s_VT = ((next_us_VT - visits.at_us_W[visit_VT]) / 1e6).astype(np.float32)
    return VisitSequences(
        streamer_VT=np.where(there_VT, row_C[visits.channel_W][visit_VT], 0),
        action_VT=there_VT.astype(np.int8),  # every recorded visit has chat
        dwell_s_VT=np.where(there_VT, visits.dwell_s_W[visit_VT], np.float32(0)),
        gap_s_VT=np.where(there_VT, gap_s_VT, np.float32(0)),
        since_same_s_VT=np.where(there_VT, visits.since_same_s_W[visit_VT], np.float32(-1)),
        now_VT=np.where(there_VT, content.now_N[visit_VT], 0).astype(np.int32),
        mean_VT=np.where(there_VT, content.mean_N[visit_VT], 0).astype(np.int32),
        labels_VT2=np.where(there_VT[..., None], labels_C2[visits.channel_W][visit_VT], np.int32(UNKNOWN)),
        length_V=there_VT.sum(1).astype(np.int16),
    )
