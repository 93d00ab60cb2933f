"""Owns the numbers that stand for labels (category, language, streamer) in columns. Never forgets one in use."""

from __future__ import annotations

from collections.abc import Callable


class Labels:
    """Label ↔ number, counted, so that a number is given to another label once no room uses the first. For one thread.

    Producers choose the labels, so they are unbounded over time; those in use are bounded by the live rooms.
    """

    def __init__(self, key: Callable[[str], str] = str) -> None:
        """key: the same for labels that are one, however they are spelled."""
        self._key = key
        self._numbers: dict[str, int] = {}
        self._uses: list[int] = []
        self._free: list[int] = []
        self.total = 0  # uses of all labels
        self.epoch = 0  # changes whenever a number is given to a label

    def __len__(self) -> int:
        """Labels in use."""
        return len(self._numbers)

    @property
    def high(self) -> int:
        """Every number is below it."""
        return len(self._uses)

    def take(self, label: str) -> int:
        """The label's number, for one more user of it."""
        label = self._key(label)
        number = self._numbers.get(label)
        if number is None:
            if self._free:
                number = self._free.pop()
            else:
                number = len(self._uses)
                self._uses.append(0)
            self._numbers[label] = number
            self.epoch += 1
        self._uses[number] += 1
        self.total += 1
        return number

    def uses(self, number: int) -> int:
        """How many rooms use it now."""
        return self._uses[number]

    def give(self, label: str) -> None:
        """One user of the label less."""
        label = self._key(label)
        number = self._numbers[label]
        self._uses[number] -= 1
        self.total -= 1
        if not self._uses[number]:
            del self._numbers[label]
            self._free.append(number)

    def number(self, label: str) -> int:
        """The label's number, -1 where nothing uses it."""
        return self._numbers.get(self._key(label), -1)

    def items(self) -> list[tuple[str, int]]:
        """Label, by its key, and number of all in use."""
        return list(self._numbers.items())
