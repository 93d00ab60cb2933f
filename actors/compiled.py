"""The list of all kernels that an answer needs, so that they are compiled before the first answer. Never computes.

    python -m actors.compiled

compiles them ahead, with those of trained versions, so that the first start need not.
"""

from __future__ import annotations

from actors import candidates, columns, diversity, reasons, score, scoring
from training.features import compiling
from training.inference import warm_up


def load() -> None:
    """Compiles what the baseline ranker needs, or loads machine code that was kept."""
    for kernels_of in (candidates, columns, score, scoring, diversity, reasons):
        compiling.load(kernels_of.signatures())


if __name__ == "__main__":
    load()
    warm_up.compile_all()
