"""Encodes the texts that a cache does not hold yet, a block at a time. Never cuts text, never loads a model."""

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
    """Turns texts into vectors, as training/content/text_encoder.py does."""

    @property
    def version(self) -> str:
        """Vectors of one version compare with each other and with no others."""

    @property
    def dimension(self) -> int:
        """D."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """[N, D], unit vectors; a text's vector is a function of the text alone. Raises EncoderError."""


class EncodingProgress(Protocol):
    """Is told how many of the texts are done."""

    def encoded(self, done: int, total: int) -> None:
        """Of those that were missing at the start."""


def encode_missing(
    texts: Sequence[str], hash_S: NDArray[np.int64], encoder: Encoder, cache: VectorCache, progress: EncodingProgress
) -> int:
    """Afterwards the cache has a vector for every text: zeros where the encoder's is not of numbers, which is said.

    Returns how many were encoded.

    hash_S: of the texts, as streaming.text.text_hash. Killed and run again, it goes on where it stopped.
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
