"""The texts that requests ask with, on their way to a vector before the answer. Never encodes one."""

from __future__ import annotations

import contextlib
from typing import Protocol

from actors.recommend.schema import Query
from actors.requests.asked_text import readable
from actors.requests.text_vectors import TextVector
from streaming.errors import EncoderAway


class Texts(Protocol):
    """The vectors of texts; `deploy.serve.asked_texts.AskedTexts` gives them."""

    def held(self, text: str) -> TextVector | None:
        """The vector of a text that is known. Cheap."""

    async def fetch(self, text: str) -> TextVector:
        """The vector of a text, from the Encoder; it is held from then on. Raises EncoderAway: not in time."""


def unknown_text(texts: Texts, query: Query) -> str | None:
    """The text that a query is steered by, where it has no vector yet. Raises RequestError: it says nothing."""
    if query.steer is None or query.steer.text is None:
        return None
    text = readable(query.steer.text, "steer.text")
    return text if texts.held(text) is None else None


async def fetched(texts: Texts, text: str | None) -> None:
    """Has a text made a vector of, if that is possible now: an answer that is not steered is one all the same."""
    if text is not None:
        with contextlib.suppress(EncoderAway):
            await texts.fetch(text)
