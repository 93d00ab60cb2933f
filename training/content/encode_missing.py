"""Encodes the texts that a cache lacks, a block at a time. Never cuts text, never loads a model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.content.vector_cache import VectorCache

LOGGER = logging.getLogger(__name__)
BLOCK_TEXTS = 1_024  # what a kill may lose: five seconds of work


class Encoder(Protocol):
    """A model that turns texts into vectors; training/content/text_encoder.py is the one in use."""

    @property
    def version(self) -> str:
        """The name of the model and of how it runs. Only vectors of one version can be compared."""

    @property
    def dimension(self) -> int:
        """The number of dimensions D of each vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """Unit vectors, float16 [N, D]; each depends on its text alone. Raises EncoderError."""


class EncodingProgress(Protocol):
    """A receiver of progress: how many of the texts are encoded."""

    def encoded(self, done: int, total: int) -> None:
        """Reports that `done` of the `total` texts that the cache lacked are encoded."""


def encode_missing(
    texts: Sequence[str], hash_S: NDArray[np.int64], encoder: Encoder, cache: VectorCache, progress: EncodingProgress
) -> int:
    """Fills the cache, so that it has a vector for each of S texts; returns how many were encoded.

    hash_S: hashes of the texts by streaming.room.text.text_hash. A vector with a value that is not a number is logged
    and kept as zeros. After a kill the next call goes on where this one stopped. Raises EncoderError, ConfigError.
    """
    missing = {
        text_hash: text
        for text_hash, text in zip(hash_S.tolist(), texts, strict=True)
        if text_hash and text_hash not in cache
    }
    hashes = list(missing)
    progress.encoded(0, len(hashes))
    for start in range(0, len(hashes), BLOCK_TEXTS):
        block = hashes[start : start + BLOCK_TEXTS]
        vectors_BD = encoder.encode([missing[text_hash] for text_hash in block])
        wrong_B = np.asarray(~np.isfinite(vectors_BD).all(axis=1))
        if wrong_B.any():
            LOGGER.warning(
                "encoder %s: %d texts have no vector of numbers; they count as none", encoder.version, wrong_B.sum()
            )
            vectors_BD = np.where(wrong_B[:, None], np.float16(0), vectors_BD)
        cache.add(np.array(block, np.int64), vectors_BD)
        progress.encoded(start + len(block), len(hashes))
    return len(hashes)
