"""Pairs of texts that belong together, in batches of pairs of one time. Never makes a pair, never learns.

What the other pairs of a batch say serves as what does not belong together. So a batch holds pairs of about the same
time: rooms that were live together, which is what has to be told apart when rooms are ranked.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.errors import TrainingError

ARRAYS, TEXTS, TITLES = "pairs.npz", "texts.json", "titles.json"


class PairKind(IntEnum):
    """Why two texts belong together."""

    LATER = 0  # chat of a room, and of the same room some minutes later
    TITLE = 1  # a room's title, and its chat
    COVISIT = 2  # chat of two rooms that one viewer visited, each as the viewer entered


@dataclass(frozen=True, slots=True, eq=False)
class TextPairs:
    """P pairs in time order. left_P, right_P: rows of texts. at_P: of the later text, in 30 s since the epoch.

    title_P2: of the left and of the right text, the row in `titles` of its room's title as it was known when the text
    was said; −1 for none, and for a text that is a title itself.
    """

    texts: tuple[str, ...]
    left_P: NDArray[np.int32]
    right_P: NDArray[np.int32]
    left_room_P: NDArray[np.int32]
    right_room_P: NDArray[np.int32]
    at_P: NDArray[np.int64]
    kind_P: NDArray[np.int8]
    titles: tuple[str, ...] = ()
    title_P2: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))

    def __len__(self) -> int:
        return len(self.left_P)

    def batches(self, size: int, seed: int, epoch: int) -> list[NDArray[np.intp]]:
        """The places of the pairs of each batch of a pass, in random order; the same for the same seed and pass.

        Pairs of a batch are neighbours in time, no more than three batches apart. A rest that fills no batch is left
        out.
        """
        rng = np.random.default_rng([seed, epoch])
        blurred_P = np.arange(len(self)) + rng.uniform(0, 2 * size, len(self))
        order_P = np.argsort(blurred_P, kind="stable")
        size = min(size, len(self))
        parts = np.split(order_P[: len(self) // size * size], len(self) // size) if size else []
        return [parts[place] for place in rng.permutation(len(parts)).tolist()]

    def together_BB(self, places_B: NDArray[np.intp]) -> NDArray[np.bool_]:  # noqa: N802  a shape
        """Whether the right text of pair j may belong to the left text of pair i as well: bool [B, B].

        It may where the two pairs have a room in common, or the same text.
        """
        left_B, right_B = self.left_room_P[places_B], self.right_room_P[places_B]
        text_l_B, text_r_B = self.left_P[places_B], self.right_P[places_B]
        together_BB: NDArray[np.bool_] = (
            (left_B[:, None] == left_B)
            | (left_B[:, None] == right_B)
            | (right_B[:, None] == left_B)
            | (right_B[:, None] == right_B)
            | (text_l_B[:, None] == text_r_B)
            | (text_r_B[:, None] == text_r_B)
            | (text_l_B[:, None] == text_l_B)
        )
        return together_BB

    def save(self, folder: Path) -> None:
        """Writes the pairs into a folder. Raises TrainingError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, texts in ((TEXTS, self.texts), (TITLES, self.titles)):
                (folder / name).write_text(json.dumps(texts), encoding="utf-8")
            np.savez(folder / ARRAYS, allow_pickle=False, **{name: getattr(self, name) for name in COLUMNS})
        except OSError as err:
            raise TrainingError(f"{folder}: pairs of texts cannot be written: {err}") from err

    @classmethod
    def load(cls, folder: Path) -> TextPairs:
        """The pairs in a folder. Raises TrainingError: it has none, or they are damaged."""
        try:
            texts, titles = (tuple(json.loads((folder / name).read_text(encoding="utf-8"))) for name in (TEXTS, TITLES))
            with np.load(io.BytesIO((folder / ARRAYS).read_bytes()), allow_pickle=False) as arrays:
                return cls(texts, titles=titles, **{name: arrays[name] for name in COLUMNS})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
            raise TrainingError(f"{folder}: pairs of texts cannot be read: {err}") from err


COLUMNS = ("left_P", "right_P", "left_room_P", "right_room_P", "at_P", "kind_P", "title_P2")
