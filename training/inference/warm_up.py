"""Owns the list of all kernels, to have them compiled before a request needs one. Never computes."""

from __future__ import annotations

from training.features import compiling, feature_kernels
from training.inference import candidate_kernels, network_kernels, piecewise_linear_kernels


def load() -> None:
    """Compiles every kernel, or fetches the machine code that was kept: 0.6 s, then; some 20 s where there is none.

    At once where this process has done so before. Any thread.
    """
    for kernels in (feature_kernels, candidate_kernels, piecewise_linear_kernels, network_kernels):
        compiling.load(kernels.signatures())
