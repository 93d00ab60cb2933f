"""Waits in tests until something is so, for longer on a busy machine. No test is here."""

from __future__ import annotations

import time
from collections.abc import Callable

from streaming.patience import Patience

SETTLE_S = 60.0  # on a free machine; some seconds are enough on a fast one


def eventually(check: Callable[[], object], what: str, every_s: float = 0.05) -> float:
    """Waits until it holds, and fails with `what` where that does not come; returns how long it took, in seconds."""
    patience, began_s = Patience(SETTLE_S), time.monotonic()
    while not check():
        assert not patience.is_over(), what
        time.sleep(every_s)
    return time.monotonic() - began_s
