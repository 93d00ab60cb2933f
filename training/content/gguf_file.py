"""A GGUF file, ggml's format of a model in one file: its values and its arrays. Never knows what model is in it.

The format is that of ggml's docs/gguf.md, version 3. Of its kinds of arrays those are read that a file known here has:
float32, and blocks of 32 weights with 4 bits each (Q4_1: a scale, a least value) or 8 (Q8_0: a scale).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.content.cursor import Cursor

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32  # bytes, of the arrays' place, where the file says none
IN_BLOCK = 32
FLOAT32, Q4_1, Q8_0 = 0, 3, 8  # kinds of arrays
BLOCKS: Final = {
    FLOAT32: np.dtype("<f4"),
    Q4_1: np.dtype([("scale", "<f2"), ("least", "<f2"), ("low_and_high", "u1", (IN_BLOCK // 2,))]),
    Q8_0: np.dtype([("scale", "<f2"), ("numbers", "i1", (IN_BLOCK,))]),
}
NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, LIST = 8, 9  # the other kinds of values


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array lies: its kind, its shape as numpy has it, its offset in the file."""

    kind: int
    shape: tuple[int, ...]
    offset: int


class GgufFile:
    """Values and arrays of a file. Raises ValueError where it is no such file, ends too early, or has another kind."""

    def __init__(self, data: bytes) -> None:
        """Reads the values and where the arrays lie."""
        self._read = Cursor(data)
        if self._read.bytes(len(MAGIC)) != MAGIC or self._number("I") != VERSION:
            raise ValueError(f"it does not begin as a GGUF file of version {VERSION} does")
        num_arrays, num_values = self._number("Q"), self._number("Q")
        self.values: dict[str, Any] = {}
        for _ in range(num_values):
            name = self._string()
            self.values[name] = self._value(self._number("I"))
        places = {self._string(): self._place() for _ in range(num_arrays)}
        alignment = self.values.get("general.alignment", ALIGNMENT)
        begin = -(-self._read.at // alignment) * alignment
        self._places = {name: _Place(one.kind, one.shape, begin + one.offset) for name, one in places.items()}

    def array(self, name: str) -> NDArray[np.float32]:
        """An array by its name; its last axis is the one that lies together. Raises KeyError: there is none."""
        place = self._places[name]
        block, size = BLOCKS.get(place.kind), math.prod(place.shape)
        if block is None:
            raise ValueError(f"{name} is an array of kind {place.kind}")
        if place.kind == FLOAT32:
            return np.frombuffer(self._read.data, block, size, place.offset).reshape(place.shape)
        if place.shape[-1] % IN_BLOCK:
            raise ValueError(f"{name} has rows of {place.shape[-1]}, which are no whole blocks")
        blocks = np.frombuffer(self._read.data, block, size // IN_BLOCK, place.offset)
        return (_q4_1(blocks) if place.kind == Q4_1 else _q8_0(blocks)).reshape(place.shape)

    def _number(self, kind: str) -> Any:
        (found,) = self._read.numbers(f"<{kind}")
        return found

    def _string(self) -> str:
        return self._read.bytes(self._number("Q")).decode()

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == LIST:
            of, count = self._number("I"), self._number("Q")
            return [self._value(of) for _ in range(count)]
        if kind not in NUMBERS:
            raise ValueError(f"a value of kind {kind}")
        return self._number(NUMBERS[kind])

    def _place(self) -> _Place:
        shape = [self._number("Q") for _ in range(self._number("I"))]
        return _Place(self._number("I"), tuple(reversed(shape)), self._number("Q"))


def _q4_1(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """The low halves of a block's 16 bytes are its first 16 numbers, the high halves the others."""
    halves = blocks["low_and_high"]
    numbers = np.concatenate([halves & 0x0F, halves >> 4], axis=1).astype(np.float32)
    return numbers * blocks["scale"].astype(np.float32)[:, None] + blocks["least"].astype(np.float32)[:, None]


def _q8_0(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    return blocks["numbers"].astype(np.float32) * blocks["scale"].astype(np.float32)[:, None]
