"""Visits of a recording as candidate sets, read from examples of it. Never ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.examples.candidate_batches import CandidateSetBuilder, ContentRules
from training.examples.dataset import Examples, ExampleSet, joined
from training.model.batches import LEAVE_S, CandidateSets
from training.recorded.chat import Chat
from training.recorded.transitions import RecordedTransitions

MAX_VISITS = 50  # of a viewer's past


@dataclass(frozen=True, slots=True, eq=False)
class RecordedVisits:
    """V visits of a recording, about to happen, with all that could be known then.

    sets: the rooms that were live, one of them about to be entered; streamers' rows are channels, counted from 1.
    outside_V: positives outside the candidates: the room was not live before, only entered now.
    """

    sets: CandidateSets
    message_V: NDArray[np.int64]  # place in the chat
    at_us_V: NDArray[np.int64]
    viewer_V: NDArray[np.int32]  # as in the chat
    outside_V: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.message_V)

    @property
    def channel_R(self) -> NDArray[np.int32]:  # noqa: N802  a shape
        """Channels of the candidates, as in the chat."""
        return self.sets.streamer_R - np.int32(1)

    @property
    def entered_R(self) -> NDArray[np.int64]:  # noqa: N802  a shape
        """Rows of the candidates entered, one a visit."""
        entered_V: NDArray[np.int64] = self.sets.starts() + self.sets.entered_V
        return entered_V

    @property
    def visit_R(self) -> NDArray[np.intp]:  # noqa: N802  a shape
        """The visit of each candidate."""
        return np.repeat(np.arange(len(self)), self.sets.size_V)

    def taken(self, place_B: NDArray[np.intp]) -> RecordedVisits:
        """The visits at some places, as copies."""
        return self._with(self.sets.taken(place_B), place_B)

    def between(self, first: int, end: int) -> RecordedVisits:
        """The visits first ≤ place < end, without a copy."""
        return self._with(self.sets.between(first, end), slice(first, end))

    def usable(self) -> RecordedVisits:
        """The visits that teach: with a choice between rooms, and the one entered among those that were live."""
        return self.taken(np.flatnonzero((self.sets.size_V > 1) & ~self.outside_V))

    def _with(self, sets: CandidateSets, places: slice | NDArray[np.intp]) -> RecordedVisits:
        return RecordedVisits(
            sets, self.message_V[places], self.at_us_V[places], self.viewer_V[places], self.outside_V[places]
        )


class VisitReader:
    """A reader of the examples of a recording. The past is read once, then the visits after it, shard by shard."""

    def __init__(
        self,
        chat: Chat,
        kind_M: NDArray[np.int8],
        message_V: NDArray[np.int64],
        examples: ExampleSet,
        *,
        vectors_KD: NDArray[np.float16],
        rules: ContentRules,
    ) -> None:
        """message_V: the messages that begin the examples' visits, in order. vectors_KD: of the examples' texts."""
        self.chat, self._message_V, self._examples = chat, message_V, examples
        row_C = np.arange(1, len(chat.channels) + 1, dtype=np.int32)
        self._builder = CandidateSetBuilder(examples, vectors_KD, chat.channels, rules, leave_s=LEAVE_S)
        self._transitions = RecordedTransitions(chat, kind_M, row_C)
        self._passed = self._shard = 0
        self._rest: RecordedVisits | None = None

    @property
    def num_past(self) -> int:
        """The number of visits of the training part."""
        return int(np.searchsorted(self._message_V, self.chat.num_train))

    @property
    def num_rest(self) -> int:
        """The number of visits after it."""
        return len(self._message_V) - self.num_past

    def past(self) -> RecordedVisits:
        """The visits of the training part."""
        num_past = self.num_past
        sizes = np.cumsum(self._examples.shard_sizes)
        upto = int(np.searchsorted(sizes, num_past)) + 1
        whole = self._visits(joined([self._examples.shard(number) for number in range(upto)]))
        self._shard = upto
        if num_past < len(whole):
            self._rest = whole.between(num_past, len(whole))
        return whole.between(0, num_past)

    def rest(self) -> Iterator[RecordedVisits]:
        """The visits after the past, a shard at a time."""
        if self._rest is not None:
            rest, self._rest = self._rest, None
            yield rest
            del rest
        for number in range(self._shard, len(self._examples.shard_sizes)):
            yield self._visits(self._examples.shard(number))

    def _visits(self, examples: Examples) -> RecordedVisits:
        message_V = self._message_V[self._passed : self._passed + len(examples)]
        self._passed += len(examples)
        viewer_V = self.chat.viewer_M[message_V]
        row_R = self._builder.rows(examples)
        columns_RM = self._transitions.columns(examples.at_ms_V, viewer_V, examples.size_V, row_R)
        sets = self._builder.candidate_sets(examples, columns_RM, MAX_VISITS)
        return RecordedVisits(sets, message_V, self.chat.at_us_M[message_V], viewer_V, examples.outside_V)
