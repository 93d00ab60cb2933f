"""Encoders for tests that need no model: a text's vector is drawn from its hash. Never loads anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from actors.rooms.encoder_client import Encoded
from streaming.errors import EncoderUnknown

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
        future: Future[Encoded] = Future()
        if encoder not in ("", FAKE_VERSION):
            future.set_exception(EncoderUnknown(f"there is no encoder {encoder}"))
            return future
        self.texts.extend(texts)
        future.set_result(Encoded(fake_vectors(texts), FAKE_VERSION))
        return future


class ManualEncoder:
    """Finishes or fails submissions when told."""

    def __init__(self) -> None:
        self.waiting: list[tuple[list[str], Future[Encoded]]] = []

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        future: Future[Encoded] = Future()
        if texts:
            self.waiting.append((list(texts), future))
        else:  # a question which encoder is wanted
            future.set_result(Encoded(fake_vectors(texts), FAKE_VERSION))
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


class ManyEncoders:
    """Encoders by version, each with vectors of its own. Finishes at once, or when told, where it holds its answers.

    wanted: what its answers say. there: the versions that can be had. dimension: of each one's vectors.
    """

    def __init__(self, *there: str) -> None:
        self.there = list(there)
        self.wanted = there[0]
        self.asked: list[tuple[str, list[str]]] = []
        self.holds: set[str] = set()  # versions whose answers wait
        self.waiting: list[tuple[str, list[str], Future[Encoded]]] = []
        self.lies: dict[str, str] = {}  # the version that answers in the place of another

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        version = encoder or self.now
        future: Future[Encoded] = Future()
        if version not in self.there:
            future.set_exception(EncoderUnknown(f"there is no encoder {version}"))
            return future
        if not texts:  # a question which encoder is wanted
            future.set_result(Encoded(vectors_by(version, texts), version, self.wanted))
            return future
        self.asked.append((version, list(texts)))
        self.waiting.append((version, list(texts), future))
        if version not in self.holds:
            self.finish(version)
        return future

    @property
    def now(self) -> str:
        """The version wanted, where it can be had; else the first that can."""
        return self.wanted if self.wanted in self.there else self.there[0]

    def finish(self, version: str) -> None:
        """Everything that waits for a version, in order."""
        done = [one for one in self.waiting if one[0] == version]
        self.waiting = [one for one in self.waiting if one[0] != version]
        for _, texts, future in done:
            by = self.lies.get(version, version)
            future.set_result(Encoded(vectors_by(by, texts), by, self.wanted))

    def texts_of(self, version: str) -> list[str]:
        """All texts that a version was asked for, in order."""
        return [text for by, texts in self.asked if by == version for text in texts]


def vectors_by(version: str, texts: Sequence[str]) -> NDArray[np.float16]:
    """The vectors of one of `ManyEncoders`."""
    return fake_vectors([f"{version}: {text}" for text in texts])
