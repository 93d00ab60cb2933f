"""The vectors of texts that callers ask with, kept for a while. Never encodes one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.settings import SearchConfig
from streaming.clock import Clock


@dataclass(frozen=True, slots=True, eq=False)
class TextVector:
    """A text's vector, float32 [D] of unit length, and the version of the encoder that made it."""

    vector_D: NDArray[np.float32]
    encoder_version: str


class TextVectors:
    """A bounded cache of vectors by text, least recently used out first. For one thread.

    A text has one vector, the newest. It is known only to whoever reads the vectors of the same encoder. Every one is
    forgotten after `search.cache_s`.
    """

    def __init__(self, config: SearchConfig, clock: Clock) -> None:
        self._most = config.cached_texts
        self._keep_s = config.cache_s
        self._clock = clock
        self._held: OrderedDict[str, tuple[TextVector, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, text: str, encoder_version: str) -> TextVector | None:
        """The text's vector by this encoder, "" for any; None: it has to be asked for."""
        held = self._held.get(text)
        if held is None:
            return None
        vector, since_s = held
        if encoder_version not in ("", vector.encoder_version):
            return None
        if self._clock.monotonic_s() - since_s > self._keep_s:
            del self._held[text]
            return None
        self._held.move_to_end(text)
        return vector

    def put(self, text: str, vector: TextVector) -> None:
        """Keeps a text's vector in the place of the one before."""
        self._held[text] = vector, self._clock.monotonic_s()
        self._held.move_to_end(text)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
