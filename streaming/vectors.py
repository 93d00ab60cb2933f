"""Owns vectors as they travel: float16 little-endian bytes, and their slow mean. Never encodes text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WIRE_DTYPE = np.dtype("<f2")


def to_bytes(vector_D: NDArray[np.floating[Any]]) -> bytes:
    """A vector [D] as float16 little-endian bytes."""
    return np.asarray(vector_D).astype(WIRE_DTYPE).tobytes()


def from_bytes(vector: bytes) -> NDArray[np.float32]:
    """float16 bytes as a vector [D] of float32; shape [0] for b""."""
    return np.frombuffer(vector, dtype=WIRE_DTYPE).astype(np.float32)


def fold_mean(mean: bytes, vector: bytes, alpha: float) -> bytes:
    """mean + alpha * (vector - mean) in float32, rounded to float16. Not normalised; the first vector is the mean.

    The rounding at every step makes a mean that was read back from the log fold on exactly as the one in memory.
    """
    if len(mean) != len(vector):  # none yet
        return vector
    mean_D, vector_D = from_bytes(mean), from_bytes(vector)
    return to_bytes(mean_D + np.float32(alpha) * (vector_D - mean_D))
