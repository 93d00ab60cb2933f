"""Two directions in which live rooms differ most, for a map of them. Never keeps a room's place.

A room's place is its vector's product with each direction and nothing else: a room whose vector stays as it was stays
where it is, whoever comes or goes. So a map is stable for as long as its axes are kept. They are the first principal
components, found by subspace iteration (Halko, Martinsson and Tropp 2011, "Finding structure with randomness",
algorithm 4.4): some milliseconds for a thousand vectors, where all eigenvectors take ten times as long. New axes are
turned towards the old ones (Schoenemann 1966, "A generalized solution of the orthogonal Procrustes problem").
"""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK = 8  # directions iterated at once: more than two, so that the third largest does not slow the first two down
ROUNDS = 6
KEEP = 0.8  # of what the best axes show: a map that shows less is worth being drawn anew
LEVELS = 127  # a direction's coordinates are sent as signed bytes


def axes_for(vectors_ND: Floats, axes_D2: Floats | None) -> tuple[Floats, float]:
    """Axes for a map of these vectors, float32 [D, 2], and the share of their differences that the map shows.

    axes_D2: those of the map before. They are kept while they show KEEP of what the best would, else replaced by the
    best, turned so that places change as little as they can. vectors_ND: without NaN; none is fine.
    """
    centred_ND = vectors_ND - vectors_ND.mean(axis=0) if len(vectors_ND) else vectors_ND
    best_D2 = _principal(centred_ND)
    whole, best = float(np.square(centred_ND).sum()), _shown(centred_ND, best_D2)
    if axes_D2 is not None:
        kept = _shown(centred_ND, axes_D2)
        if kept >= KEEP * best:
            return axes_D2, kept / whole if whole else 0.0
        best_D2 = best_D2 @ _turn(best_D2, axes_D2)
    sent_D2 = _orthonormal(_levels(best_D2))  # as they come back, so that the next map has the same places
    return sent_D2, _shown(centred_ND, sent_D2) / whole if whole else 0.0


def packed(axes_D2: Floats, encoder: str) -> str:
    """Axes as text for a URL: a byte a number, and whose vectors they are directions of."""
    return base64.urlsafe_b64encode(_mark(encoder) + _levels(axes_D2).tobytes()).decode()


def unpacked(text: str, dimension: int, encoder: str) -> Floats | None:
    """Axes out of such a text, orthonormal; None where they are of another encoder. Raises ValueError."""
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as err:
        raise ValueError("axes are not what a map has given") from err
    mark = _mark(encoder)
    if len(raw) != len(mark) + 2 * dimension or not raw.startswith(mark):
        return None
    return _orthonormal(np.frombuffer(raw, np.int8, offset=len(mark)).reshape(dimension, 2))


def _mark(encoder: str) -> bytes:
    return zlib.crc32(encoder.encode()).to_bytes(4, "big")


def _levels(axes_D2: Floats) -> NDArray[np.int8]:
    levels_D2: NDArray[np.int8] = np.rint(axes_D2 / np.abs(axes_D2).max() * LEVELS).astype(np.int8)
    return levels_D2


def _orthonormal(levels_D2: NDArray[np.int8]) -> Floats:
    """The orthonormal pair nearest to these. Raises ValueError: they point the same way."""
    left_D2, sizes_2, right_22 = np.linalg.svd(levels_D2.astype(np.float32), full_matrices=False)
    if sizes_2[-1] < 1.0:
        raise ValueError("axes that point the same way make no map")
    axes_D2: Floats = left_D2 @ right_22
    return axes_D2


def _principal(centred_ND: Floats) -> Floats:
    """The two directions of most variance, float32 [D, 2]; their signs do not depend on where the search began."""
    dimension = centred_ND.shape[1]
    block = min(BLOCK, dimension)
    basis_DB = np.random.default_rng(0).standard_normal((dimension, block)).astype(np.float32)
    for _ in range(ROUNDS):
        basis_DB = np.linalg.qr(centred_ND.T @ (centred_ND @ basis_DB) + 1e-6 * basis_DB)[0]
    within_NB = centred_ND @ basis_DB
    _, directions_BB = np.linalg.eigh(within_NB.T @ within_NB)
    axes_D2 = basis_DB @ directions_BB[:, :-3:-1]
    largest_2 = axes_D2[np.abs(axes_D2).argmax(axis=0), range(2)]
    signed_D2: Floats = (axes_D2 * np.where(largest_2 < 0, -1, 1)).astype(np.float32)
    return signed_D2


def _shown(centred_ND: Floats, axes_D2: Floats) -> float:
    return float(np.square(centred_ND @ axes_D2).sum())


def _turn(from_D2: Floats, to_D2: Floats) -> Floats:
    """The rotation or reflection in the plane, float32 [2, 2], that takes one pair of directions nearest to another."""
    left_22, _, right_22 = np.linalg.svd(from_D2.T @ to_D2)
    turn_22: Floats = left_22 @ right_22
    return turn_22
