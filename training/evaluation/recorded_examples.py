"""The examples of a recording's visits for an evaluation, in a folder, with the vectors of their texts. Never ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.recorded.replay import Channel
from streaming.room.window_config import WindowConfig
from training.content.encode_missing import Encoder, encode_missing
from training.content.vector_cache import VectorCache
from training.examples.candidate_batches import ContentRules
from training.examples.dataset import ExampleSet, ExampleTexts
from training.examples.generator import ExamplePass
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_examples
from training.recorded.chat import Chat
from training.recorded.chat_stream import from_chat
from training.recorded.recorded_visits import MAX_VISITS, VisitReader


class Progress(Protocol):
    """A receiver of the progress of an evaluation."""

    def stage(self, text: str, unit: str = "", total: int | None = None) -> None:
        """Names the stage that begins now, and what it counts, if anything."""

    def done(self, count: int, total: int | None = None) -> None:
        """Reports how much of the stage is done. total: where it is known only now."""


@dataclass(frozen=True, slots=True)
class ContentSource:
    """What the content of rooms is made from. text_M: of the messages. folder: where vectors are kept."""

    text_M: pa.StringArray
    encoder: Encoder
    folder: Path


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known beside the chat. known: titles, categories and languages by channel. content: None for none."""

    known: Mapping[str, Channel] = field(default_factory=lambda: MappingProxyType({}))
    window: WindowConfig = field(default_factory=WindowConfig)
    title_weight: float = 0.4
    content: ContentSource | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PassedVisits:
    """The wanted visits of a recording as examples, with no vectors yet. message_V: the messages that begin them."""

    chat: Chat
    kind_M: NDArray[np.int8]
    message_V: NDArray[np.int64]
    examples: ExampleSet
    beside: Beside

    def reader(self, vectors_KD: NDArray[np.float16]) -> VisitReader:
        """A reader of the visits from the first on. vectors_KD: of the examples' texts."""
        rules = ContentRules(self.beside.title_weight, self.beside.window.mean_alpha)
        return VisitReader(self.chat, self.kind_M, self.message_V, self.examples, vectors_KD=vectors_KD, rules=rules)

    def encoded(self, progress: Progress) -> VisitReader:
        """A reader with the vectors of `beside`'s content. Raises EncoderError, ConfigError."""
        texts, content = self.examples.texts(), self.beside.content
        if content is None:
            return self.reader(np.zeros((len(texts.hash_K), 1), np.float16))
        return self.reader(_vectors(texts, content, progress))


def pass_over(
    chat: Chat,
    kind_M: NDArray[np.int8],
    wanted_M: NDArray[np.bool_],
    beside: Beside,
    *,
    folder: Path,
    progress: Progress,
) -> PassedVisits:
    """The wanted visits, of which this makes examples in the folder; all before them counts as past.

    A visit that is none to a worker is left out: one that repeats another of the same viewer, channel and millisecond,
    and one after several channels in one millisecond that leads to where the worker believes the viewer to be. Outcomes
    of the training part's visits are as known when it ended. Raises TrainingError: the folder cannot be written.
    """
    content = beside.content
    passing = ExamplePass(
        ExamplesConfig(max_rooms=len(chat.channels) + 1, max_visits=MAX_VISITS),
        chat_alone=True,
        chat_texts=content is not None,
        chosen=frozenset(np.flatnonzero(wanted_M).tolist()),
        parted_at=chat.num_train,  # what is learned from ends with the training part
        window=beside.window,
    )
    progress.stage("past and test", "messages", len(chat.at_us_M))
    stream = from_chat(chat, kind_M, beside.known, None if content is None else content.text_M)
    examples = write_examples(stream, passing, folder, _Passed(chat, progress))
    return PassedVisits(chat, kind_M, np.array(passing.offsets, np.int64), examples, beside)


def _vectors(texts: ExampleTexts, content: ContentSource, progress: Progress) -> NDArray[np.float16]:
    """Vectors of the texts, float16 [K, D], from the folder; those that it lacks are encoded."""
    encoder = content.encoder
    cache = VectorCache(content.folder, encoder.version, encoder.dimension)
    progress.stage("encoding", "texts")
    encode_missing(texts.texts, texts.hash_K, encoder, cache, _Encoded(progress))
    return cache.vectors(texts.hash_K)


class _Passed:
    """Reports messages, as a receiver of the progress of a pass."""

    def __init__(self, chat: Chat, progress: Progress) -> None:
        self._chat, self._progress = chat, progress

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        self._progress.done(int(np.searchsorted(self._chat.at_us_M, 1_000 * at_ms, "right")))


class _Encoded:
    """Reports texts, as a receiver of the progress of an encoding."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def encoded(self, done: int, total: int) -> None:
        self._progress.done(done, total)
