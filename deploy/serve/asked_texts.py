"""Texts that callers ask with, turned into vectors by the Encoder, in time or not at all. Never answers a request.

A text that is known costs nothing. The same text asked for by many at once is one call. Others go before the texts of
rooms, because somebody waits for them; they are short, and so few at a time that rooms wait little for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from actors.requests.text_vectors import TextVector, TextVectors
from streaming.errors import EncoderAway
from streaming.metrics import Metrics

if TYPE_CHECKING:
    from actors.rooms.encoder_client import Encoded
    from actors.settings import SearchConfig

LOGGER = logging.getLogger(__name__)

Ask = Callable[[Sequence[str], str], Awaitable["Encoded"]]


class AskedTexts:
    """The texts of one replica, all on its event loop. Their vectors are of the encoder that the rooms' are of."""

    def __init__(
        self, ask: Ask, vectors: TextVectors, config: SearchConfig, metrics: Metrics, in_use: Callable[[], str]
    ) -> None:
        """ask: gives the vectors of texts by an encoder. vectors: where they are kept.

        in_use: the version of the encoder whose vectors of rooms are in use; "" for the one that the Encoder chooses.
        """
        self._ask = ask
        self._vectors = vectors
        self._timeout_s = config.timeout_ms / 1000
        self._most = config.in_flight
        self._metrics = metrics
        self._in_use = in_use
        self._asked: dict[tuple[str, str], asyncio.Task[TextVector]] = {}  # by text and encoder

    def held(self, text: str) -> TextVector | None:
        """The text's vector, where it is known."""
        vector = self._vectors.get(text, self._in_use())
        if vector is not None:
            self._metrics.count("asked_texts_total", outcome="known")
        return vector

    async def fetch(self, text: str) -> TextVector:
        """The text's vector, from the Encoder. Raises EncoderAway: it does not come in time, or too many wait."""
        vector = await self._fetch_once(text)
        if self._in_use() not in ("", vector.encoder_version):  # the rooms' encoder has changed meanwhile
            vector = await self._fetch_once(text)
        return vector

    async def _fetch_once(self, text: str) -> TextVector:
        asked = text, self._in_use()
        task = self._asked.get(asked)
        if task is None:
            if len(self._asked) >= self._most:
                self._metrics.count("asked_texts_total", outcome="refused")
                raise EncoderAway(f"{self._most} other texts wait for the Encoder; ask again in a second")
            task = self._asked[asked] = asyncio.create_task(self._fetch(*asked))
            task.add_done_callback(lambda done: self._forget(asked, done))
        return await asyncio.shield(task)  # a caller who leaves does not take it from the others

    def _forget(self, asked: tuple[str, str], done: asyncio.Task[TextVector]) -> None:
        self._asked.pop(asked, None)
        if not done.cancelled():
            done.exception()  # whoever asked has it, or has left

    async def _fetch(self, text: str, encoder: str) -> TextVector:
        try:
            encoded = await asyncio.wait_for(_awaited(self._ask([text], encoder)), self._timeout_s)
        except TimeoutError as err:
            self._metrics.count("asked_texts_total", outcome="late")
            raise EncoderAway("the Encoder has not answered in time; ask again in a second") from err
        except Exception as err:  # whatever the transport or the model raises: there is no vector now
            LOGGER.warning("encoding a text that was asked with: %s", err)
            self._metrics.count("asked_texts_total", outcome="failed")
            raise EncoderAway("the Encoder cannot be reached, or fails; ask again in a second") from err
        if encoder not in ("", encoded.version):
            LOGGER.warning("a text was to be encoded by %s, and what came is of %s", encoder, encoded.version)
            self._metrics.count("asked_texts_total", outcome="failed")
            raise EncoderAway("the Encoder gives vectors of another encoder than the rooms have; ask again in a second")
        vector_D = np.asarray(encoded.vectors[0], np.float32)
        if not np.isfinite(vector_D).all():
            self._metrics.count("asked_texts_total", outcome="failed")
            raise EncoderAway("the Encoder gives no numbers for this text; ask with another")
        vector = TextVector(vector_D, encoded.version)
        self._vectors.put(text, vector)
        self._metrics.count("asked_texts_total", outcome="encoded")
        return vector


async def _awaited(response: Awaitable[Encoded]) -> Encoded:
    return await response
