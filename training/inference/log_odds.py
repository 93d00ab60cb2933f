"""Changes of probabilities by what is added to their log odds. Never orders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LOG_ODDS = np.float32(1 / 3)  # of a unit of the baseline's score, where a viewer's lack of interest meets a model


def raised(enter_N: Floats, added_N: Floats | None) -> Floats:
    """Probabilities with something added to their log odds, float32 [N]; the same array where that is nothing."""
    if added_N is None:
        return enter_N
    odds_N = enter_N * np.exp(added_N)
    raised_N: Floats = odds_N / (1 - enter_N + odds_N)
    return raised_N
