"""The projection from the encoder's many dimensions to the few that the index scans. Never stores a room's vector.

At 10,000 rooms a scan of 384 dimensions reads 15 MB, more than the caches hold, and costs five times what the rest of
an answer does; 64 dimensions read 2.5 MB. The basis comes from the vectors themselves: the eigenvectors of their second
moment, so inner products lose as little as any 64 orthogonal directions can lose. As many random directions would carry
a noise of 1/sqrt(64) in every cosine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FIT_SAMPLE = 4_096  # vectors looked at: ten for each direction of a 384-dimensional encoder
LAST_FIT = 8_192  # rooms; with more the directions no longer move, while putting every row again takes longer


class Projection:
    """An orthonormal basis of the `to` directions that carry most of the vectors; of all where there are no more."""

    def __init__(self, dimension: int, to: int) -> None:
        self.dimension = dimension
        self.to = min(dimension, to) if to else dimension
        rng = np.random.default_rng(0)
        self.is_exact = self.to == dimension
        basis = np.eye(dimension) if self.is_exact else np.linalg.qr(rng.standard_normal((dimension, self.to)))[0]
        self.basis_DE: NDArray[np.float32] = basis.astype(np.float32)
        self._fit_at = self.to // 2  # rooms; with fewer than `to` of them the fit is exact for each

    def is_due(self, rooms: int) -> bool:
        """Whether so many rooms with a vector came since the last fit that another one pays."""
        return not self.is_exact and rooms >= self._fit_at and self._fit_at <= LAST_FIT

    def fit(self, vectors_ND: NDArray[np.float32]) -> None:
        """Fits the basis to these vectors. Everything projected before must be projected again."""
        step = max(1, len(vectors_ND) // FIT_SAMPLE)
        sample_ND = vectors_ND[::step]
        _, directions_DD = np.linalg.eigh(sample_ND.T @ sample_ND)
        self.basis_DE = np.ascontiguousarray(directions_DD[:, : -self.to - 1 : -1])
        self._fit_at = 2 * len(vectors_ND)

    def project(self, vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        """Projected vectors, float32 [N, E]. Not normalised: each keeps the length that the basis carries of it."""
        projected_NE: NDArray[np.float32] = vectors_ND @ self.basis_DE
        return projected_NE
