"""Owns the list of all kernels that an answer needs, to have them compiled before it does. Never computes.

    python -m actors.compiled

compiles them once and for all, with those of trained versions, so that the first start does not.
"""

from __future__ import annotations

from actors import candidates, columns, diversity, reasons, score, scoring
from training.features import compiling
from training.inference import warm_up


def load() -> None:
    """Compiles what version 0 needs, or fetches the machine code that was kept."""
    for kernels_of in (candidates, columns, score, scoring, diversity, reasons):
        compiling.load(kernels_of.signatures())


if __name__ == "__main__":
    load()
    warm_up.compile_all()
