"""Encoders for tests that need no model: a text's vector is drawn from its hash. Never loads anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from actors.rooms.encoder_client import Encoded

FAKE_VERSION = "fake/1"
FAKE_DIMENSION = 16


def fake_vectors(texts: Sequence[str]) -> NDArray[np.float16]:
    """float16 [N, FAKE_DIMENSION], unit length, the same for the same text everywhere."""
    vectors_ND = np.empty((len(texts), FAKE_DIMENSION), np.float16)
    for row, text in enumerate(texts):
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=FAKE_DIMENSION).digest()
        vector = np.frombuffer(digest, np.uint8).astype(np.float32) - 127.5
        vectors_ND[row] = vector / np.linalg.norm(vector)
    return vectors_ND


class InstantEncoder:
    """Finishes every submission at once. Remembers what it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        self.texts.extend(texts)
        future: Future[Encoded] = Future()
        future.set_result(Encoded(fake_vectors(texts), FAKE_VERSION))
        return future


class ManualEncoder:
    """Finishes or fails submissions when told."""

    def __init__(self) -> None:
        self.waiting: list[tuple[list[str], Future[Encoded]]] = []

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        future: Future[Encoded] = Future()
        self.waiting.append((list(texts), future))
        return future

    def finish(self) -> None:
        """Everything that waits, in order."""
        waiting, self.waiting = self.waiting, []
        for texts, future in waiting:
            future.set_result(Encoded(fake_vectors(texts), FAKE_VERSION))

    def fail(self) -> None:
        """Everything that waits."""
        waiting, self.waiting = self.waiting, []
        for _, future in waiting:
            future.set_exception(ConnectionError("the encoder is gone"))
