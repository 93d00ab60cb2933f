"""The numbers that stand for labels (category, language, streamer, tag) in columns. Never forgets one in use."""

from __future__ import annotations

from collections.abc import Callable


class LabelIds:
    """A map of labels to numbers that counts uses: a number is free again once no room uses its label. For one thread.

    Producers choose the labels, so they are unbounded over time; those in use are bounded by the live rooms.
    """

    def __init__(self, key: Callable[[str], str] = str, *, first: int = 0) -> None:
        """key: gives the same string for all spellings of one label. first: the least number."""
        self._key = key
        self._numbers: dict[str, int] = {}
        self._uses: list[int] = [0] * first
        self._free: list[int] = []
        self.total = 0  # uses of all labels
        self.epoch = 0  # changes whenever a label gets a number

    def __len__(self) -> int:
        """Number of labels in use."""
        return len(self._numbers)

    @property
    def high(self) -> int:
        """Upper bound of the numbers, exclusive."""
        return len(self._uses)

    def take(self, label: str) -> int:
        """Counts one more use of a label, and returns its number."""
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
        """How many rooms use a number now."""
        return self._uses[number]

    def give(self, label: str) -> None:
        """Counts one use of a label less."""
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
        """Every label in use, by its key, with its number."""
        return list(self._numbers.items())
