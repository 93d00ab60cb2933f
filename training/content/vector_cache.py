"""A cache of text vectors on disk, by text hash and encoder version: a text is encoded once. Never encodes.

A folder for each encoder version holds blocks: NumPy arrays of (hash, vector), each in a file that is named by the
digest of its bytes. A block appears whole or not at all and never changes, so a killed run loses one block at most, and
two runs may write at once. A block that is not what its name says is left alone, counted, and its texts are encoded
again. So is a vector that is not of numbers.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.errors import ConfigError
from streaming.machine.private_folder import make_private

SUFFIX = ".npy"


class VectorCache:
    """A cache of vectors by text hash, float16 [D] each, on disk and in memory: 768 bytes each at 384 dimensions."""

    def __init__(self, folder: Path, version: str, dimension: int) -> None:
        """Reads the blocks in the folder and verifies their checksums.

        dimension: D. Raises ConfigError: the folder cannot be made or read.
        """
        self._folder = folder / re.sub(r"[^\w.-]+", "_", version)
        self._dtype = np.dtype([("hash", "<i8"), ("vector", "<f2", (dimension,))])
        self._row: dict[int, tuple[int, int]] = {}  # hash → block and row in it
        self._blocks: list[NDArray[np.void]] = []
        self.damaged = 0  # blocks that were left out
        try:
            if not self._folder.exists():  # one that is there already is as open as its owner wants it
                make_private(self._folder)
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                self._read(path)
        except OSError as err:
            raise ConfigError(
                f"vector cache {self._folder}: {err.strerror}; give a folder that can be written"
            ) from err

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, text_hash: int) -> bool:
        return text_hash in self._row

    def add(self, hash_B: NDArray[np.int64], vectors_BD: NDArray[np.float16]) -> None:
        """Adds a block of B vectors, on disk before it returns. Raises ConfigError where it cannot be written."""
        block = np.empty(len(hash_B), self._dtype)
        block["hash"], block["vector"] = hash_B, vectors_BD
        buffer = io.BytesIO()
        np.save(buffer, block, allow_pickle=False)
        path = self._folder / (_digest(buffer.getvalue()) + SUFFIX)
        unfinished = path.with_suffix(f".part-{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                file.write(buffer.getvalue())
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as err:
            unfinished.unlink(missing_ok=True)
            raise ConfigError(f"vector cache {path}: cannot be written: {err.strerror}") from err
        self._remember(block)

    def vectors(self, hash_S: NDArray[np.int64]) -> NDArray[np.float16]:
        """Vectors of S texts by hash, float16 [S, D]; zeros for hash 0, which stands for no text.

        Raises KeyError: a text that was not encoded.
        """
        vectors_SD = np.zeros((len(hash_S), self._dtype["vector"].shape[0]), np.float16)
        for place, text_hash in enumerate(hash_S.tolist()):
            if text_hash:
                block, row = self._row[text_hash]
                vectors_SD[place] = self._blocks[block]["vector"][row]
        return vectors_SD

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        try:
            block = np.load(io.BytesIO(content), allow_pickle=False) if _digest(content) == path.stem else None
        except (ValueError, EOFError):
            block = None
        if block is None or block.dtype != self._dtype or block.ndim != 1:
            self.damaged += 1
            return
        self._remember(block)

    def _remember(self, block: NDArray[np.void]) -> None:
        number = len(self._blocks)
        self._blocks.append(block)
        usable = np.isfinite(block["vector"]).all(1).tolist()
        self._row.update(
            (text_hash, (number, row)) for row, text_hash in enumerate(block["hash"].tolist()) if usable[row]
        )


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
