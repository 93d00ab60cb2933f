"""Changes of probabilities by what is added to their log odds. Never orders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LOG_ODDS = np.float32(1 / 3)  # of a unit of the baseline's score, where a viewer's lack of interest meets a model


def raised(enter_N: Floats, scale: float, preferred_N: Floats | None) -> Floats:
    """Probabilities scaled, and with something added to their log odds; the same array where neither changes them."""
    if scale != 1:
        enter_N = np.minimum(enter_N * np.float32(scale), np.float32(1))
    if preferred_N is None:
        return enter_N
    odds_N = enter_N * np.exp(preferred_N)
    sure_N: Floats = odds_N / (1 - enter_N + odds_N)
    return sure_N


def lowered(enter_N: Floats, costs_N: Floats) -> Floats:
    """Probabilities whose log odds are less by what the viewer's lack of interest costs, float32 [N]."""
    odds_N = np.exp(-costs_N * LOG_ODDS)
    lowered_N: Floats = enter_N * odds_N / (1 - enter_N + enter_N * odds_N)
    return lowered_N
