"""Causes that may have moved a room up in a model's ranking, and the features of each. Never computes one.

A cause's effect is found by ablation. Its features are set to the average candidate's, those of the viewer's past with
the streamer as if they had never been there. The effect is how much the log odds of entering fall by it. A cause is
only looked at where the room has more of it than the average: otherwise the room is not there because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from training.features.features import VIEWER_FEATURES
from training.model.config import EXTRA, LEARNED

MEMORY, CONTENT, CATEGORY, LANGUAGE, OTHERS, CROWD, NEWNESS = range(7)
CAUSES = ("memory", "content", "category", "language", "others", "crowd", "newness")
NO_CAUSE = -1

REST: tuple[str, ...] = (
    *VIEWER_FEATURES,
    *LEARNED,
    *(name for name in EXTRA if name != "gate"),
)  # what requests compute
_OF = {
    "alike": CONTENT, "same_1": CONTENT, "same_2": CONTENT, "same_now": CONTENT, "code_dot": CONTENT,
    "same_category": CATEGORY, "same_language": LANGUAGE,
    "dot": OTHERS, "arrivals_60s": OTHERS, "arrivals_600s": OTHERS, "arrivals_share": OTHERS,
    **dict.fromkeys(LEARNED, OTHERS),
    **{name: MEMORY for name in VIEWER_FEATURES if name.startswith("own_")},
}  # fmt: skip
CAUSE_F: NDArray[np.int64] = np.array([_OF.get(name, NO_CAUSE) for name in REST], np.int64)
NEVER = ("own_silence_s", "own_visit_age_s", "own_overdue", "own_recency")  # unknown of a streamer never visited
NEVER_F = np.array([np.nan if name in NEVER else 0.0 for name in REST], np.float32)
# A cause is looked at where the room exceeds the average candidate in one of these features by so much.
FACTS: Mapping[int, Mapping[str, float]] = MappingProxyType(
    {
        MEMORY: {"own_visits": 0.0},
        CONTENT: {"alike": 0.1},
        CATEGORY: {"same_category": 0.1},
        LANGUAGE: {"same_language": 0.1},
        OTHERS: {"dot": 0.1, "arrivals_600s": 0.0, "moves_share": 0.0, "covisits": 0.0},
    }
)
FACTS_2Y: NDArray[np.int64] = np.array(
    [(REST.index(name), cause) for cause, names in FACTS.items() for name in names], np.int64
).T.copy()
LEAST_Y: NDArray[np.float32] = np.array([least for names in FACTS.values() for least in names.values()], np.float32)
FEATURES_X: NDArray[np.int64] = np.argsort(CAUSE_F, kind="stable")[np.count_nonzero(CAUSE_F == NO_CAUSE) :]
STARTS_C: NDArray[np.int64] = np.searchsorted(CAUSE_F[FEATURES_X], np.arange(CROWD + 1))  # of each cause's features
