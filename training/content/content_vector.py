"""A room's content vector: the mix of its title's and its chat's vector. Never encodes text or stores a vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.events import RoomState


def mix(title_ND: NDArray[np.float16], chat_ND: NDArray[np.float16], title_weight: float) -> NDArray[np.float32]:
    """Content vectors, float32 [N, D]: normalise(w · title + (1 − w) · chat), with title_weight as w.

    title_ND, chat_ND: unit vectors, zeros where one is missing; the other alone counts then. A row is NaN where both
    are missing, or where a value is not a number.
    """
    mixed_ND: NDArray[np.float32] = title_ND.astype(np.float32) * title_weight
    mixed_ND += chat_ND.astype(np.float32) * (1 - title_weight)
    length_N1 = np.sqrt(np.einsum("nd,nd->n", mixed_ND, mixed_ND))[:, None]
    length_N1[~np.isfinite(length_N1) | (length_N1 == 0)] = np.nan
    mixed_ND /= length_N1
    return mixed_ND


def content_vectors(states: Sequence[RoomState], dimension: int, title_weight: float) -> NDArray[np.float32]:
    """Content vectors of N room states, float32 [N, D]: the mix of each state's title and chat vector.

    A row is NaN where a state has neither vector, or where one has another dimension or a value that is not a number.
    Such a room is served without content rather than with wrong content.
    """
    absent = np.zeros(dimension, np.float16).tobytes()
    size = len(absent)
    titles = b"".join(s.title_vector if len(s.title_vector) == size else absent for s in states)
    chats = b"".join(s.chat_vector if len(s.chat_vector) == size else absent for s in states)
    title_ND, chat_ND = (np.frombuffer(vectors, "<f2").reshape(-1, dimension) for vectors in (titles, chats))
    return mix(title_ND, chat_ND, title_weight)
