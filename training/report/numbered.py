"""Values as numbers, in the order of their first appearance. Never holds anything else."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Numbered(Generic[K]):
    """Numbers values from 0."""

    def __init__(self) -> None:
        self._number: dict[K, int] = {}
        self._all: list[K] = []

    def of(self, value: K) -> int:
        """The number of a value, a new one where it has none."""
        number = self._number.get(value)
        if number is None:
            number = self._number[value] = len(self._all)
            self._all.append(value)
        return number

    def forget(self, value: K) -> int | None:
        """Forgets a value: it has another number from now on. Returns the one it had."""
        return self._number.pop(value, None)

    @property
    def all(self) -> Sequence[K]:
        """The values, by number."""
        return self._all
