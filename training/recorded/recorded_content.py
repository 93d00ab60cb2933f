"""The content of recorded chat's channels over time, encoded through the cache. Never ranks, never loads a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from streaming.recorded.replay import Channel
from streaming.room.text import build_title_text, text_hash
from streaming.room.window_config import WindowConfig
from training.content.encode_missing import Encoder, EncodingProgress, encode_missing
from training.content.vector_cache import VectorCache
from training.recorded.chat import Chat
from training.recorded.content_timeline import ContentTimeline
from training.recorded.segments import cut


@dataclass(frozen=True, slots=True)
class ContentConfig:
    """The settings of workers and replicas by which chat and titles become vectors."""

    window: WindowConfig = field(default_factory=WindowConfig)
    title_weight: float = 0.4


def title_texts(channels: Sequence[str], known: Mapping[str, Channel], config: WindowConfig) -> tuple[str, ...]:
    """The text that a RoomWorker encodes of each channel's title and category, [C]; "" where neither is known."""
    described = [known.get(channel, Channel()) for channel in channels]
    return tuple(build_title_text(each.title, each.category, (), config.title_chars) for each in described)


def content_timeline(
    chat: Chat,
    text_M: pa.StringArray,
    known: Mapping[str, Channel],
    *,
    encoder: Encoder,
    folder: Path,
    progress: EncodingProgress,
    config: ContentConfig | None = None,
) -> ContentTimeline:
    """Cuts chat into segments, encodes texts that the cache in `folder` lacks, and orders their vectors by time.

    text_M: from `training.recorded.chat.load_texts`. known: titles by channel, {} for none. Raises EncoderError,
    ConfigError.
    """
    config = config or ContentConfig()
    segments = cut(chat, text_M, config.window)
    titles = title_texts(chat.channels, known, config.window)
    title_hash_C = np.array([text_hash(title) for title in titles], np.int64)
    cache = VectorCache(folder, encoder.version, encoder.dimension)
    texts, hashes = (*titles, *segments.texts), np.concatenate([title_hash_C, segments.hash_S])
    encode_missing(texts, hashes, encoder, cache, progress)
    return ContentTimeline(
        chat.channels,
        segments,
        cache.vectors(segments.hash_S),
        cache.vectors(title_hash_C),
        config=config.window,
        title_weight=config.title_weight,
    )
