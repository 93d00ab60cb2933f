"""A process that dies in the middle of what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Killed(Exception):
    """The process ends here."""


class Fragile:
    """Raises Killed at the n-th call of what it wraps, and does not make it."""

    def __init__(self, dies_at: int) -> None:
        self._left = dies_at

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                raise Killed
            return call(*args, **kwargs)

        return step
