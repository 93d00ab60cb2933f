"""The list of all kernels that an answer needs, so that they are compiled before the first answer. Never computes.

    python -m actors.recommend.warm_up

compiles them ahead, with those of trained versions, so that the first start need not.
"""

from __future__ import annotations

from actors.index import fixed_rows, nearest
from actors.recommend import baseline_score, candidates, diversity, reasons, scoring
from actors.state import shown_table
from training.features import compiling
from training.inference import warm_up


def load() -> None:
    """Compiles what the baseline ranker needs, or loads machine code that was kept."""
    for kernels_of in (fixed_rows, nearest, candidates, baseline_score, scoring, diversity, reasons, shown_table):
        compiling.load(kernels_of.signatures())


if __name__ == "__main__":
    load()
    warm_up.compile_all()
