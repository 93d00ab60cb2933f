"""Owns the list of all kernels, to have them compiled before a request needs one. Never computes."""

from __future__ import annotations

from training import column_kernels, compiling, feature_kernels, line_kernels, network_kernels


def load() -> None:
    """Compiles every kernel, or fetches the machine code that was kept: 0.6 s, then; some 20 s where there is none.

    At once where this process has done so before. Any thread.
    """
    for kernels in (feature_kernels, column_kernels, line_kernels, network_kernels):
        compiling.load(kernels.signatures())
