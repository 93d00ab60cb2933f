"""Serialised vectors: float16 little-endian bytes, and their slow mean. Never encodes text.

One NaN or infinite component spoils every mean and every product that the vector enters. So such vectors are refused
at each entry: from the encoder, from a restored state, and in a replica.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from streaming.events import RoomState

WIRE_DTYPE = np.dtype("<f2")
# High bytes of float16 whose exponent is not all ones, as it is in infinities and NaN.
_NUMBERS: Final = bytes(byte for byte in range(256) if byte & 0x7C != 0x7C)


def to_bytes(vector_D: NDArray[np.floating[Any]]) -> bytes:
    """Serialises a vector [D] to float16 little-endian bytes."""
    return np.asarray(vector_D).astype(WIRE_DTYPE).tobytes()


def from_bytes(vector: bytes) -> NDArray[np.float32]:
    """Reads float16 bytes as a vector [D] of float32; shape [0] for b""."""
    return np.frombuffer(vector, dtype=WIRE_DTYPE).astype(np.float32)


def are_numbers(vectors: bytes) -> bool:
    """Whether these are whole float16, none of them NaN or infinite; for any number of vectors in a row."""
    # A tenth of numpy's time for one vector: this runs for every text that comes back from the encoder.
    return not len(vectors) % 2 and not vectors[1::2].translate(None, _NUMBERS)


def with_numbers_only(state: RoomState) -> RoomState:
    """The state, without vectors that are not finite, as before these were encoded. Itself if there are none."""
    title, chat, mean, other = state.title_vector, state.chat_vector, state.mean_vector, state.other
    if other is not None and not all(map(are_numbers, (other.title_vector, other.chat_vector, other.mean_vector))):
        state = structs.replace(state, other=None)  # rare, and it is encoded again
    if are_numbers(title + chat + mean) and not (len(title) % 2 or len(chat) % 2):
        return state
    if not are_numbers(title):
        state = structs.replace(state, title_vector=b"", title_hash=0)
    if not are_numbers(chat):
        state = structs.replace(state, chat_vector=b"", chat_hash=0, vector_offset=-1)
    if not are_numbers(mean):
        state = structs.replace(state, mean_vector=b"")
    return state


def updated_mean(mean: bytes, vector: bytes, alpha: float) -> bytes:
    """Returns mean + alpha * (vector - mean) in float32, rounded to float16. Not normalised; the first vector is it.

    Because of the rounding at every step, a mean restored from the log continues exactly as the one in memory.
    """
    if len(mean) != len(vector):  # no mean yet
        return vector
    mean_D, vector_D = from_bytes(mean), from_bytes(vector)
    return to_bytes(mean_D + np.float32(alpha) * (vector_D - mean_D))
