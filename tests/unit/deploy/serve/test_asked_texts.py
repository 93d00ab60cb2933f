"""A text that is asked with comes from the Encoder once, in time or not at all; many are refused, and nothing hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from actors.requests.text_vectors import TextVector, TextVectors
from actors.rooms.encoder_client import Encoded
from actors.settings import SearchConfig
from deploy.serve.asked_texts import AskedTexts
from streaming.clock import ManualClock
from streaming.errors import EncoderAway
from streaming.metrics import MemoryMetrics


class Encoder:
    """A text's vector is its length; answers once it is open."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.in_use = "fake"
        self.gives = ""  # another encoder's vectors than were asked for
        self.asked: list[list[str]] = []
        self.fails: Exception | None = None
        self.value = 1.0
        self.open = asyncio.Event()
        if is_open:
            self.open.set()

    async def encode(self, texts: Sequence[str], encoder: str) -> Encoded:
        self.asked.append([*texts])
        await self.open.wait()
        if self.fails is not None:
            raise self.fails
        return Encoded(np.array([[len(text) * self.value] for text in texts], np.float16), self.gives or encoder)


def asked_texts(encoder: Encoder, metrics: MemoryMetrics, **config: object) -> AskedTexts:
    settings = SearchConfig(**config)  # type: ignore[arg-type]
    return AskedTexts(encoder.encode, TextVectors(settings, ManualClock()), settings, metrics, lambda: encoder.in_use)


def test_a_text_is_asked_for_once_and_known_from_then_on() -> None:
    metrics = MemoryMetrics()

    async def case() -> None:
        encoder = Encoder(is_open=False)
        texts = asked_texts(encoder, metrics)
        assert texts.held("bread") is None
        both = [asyncio.create_task(texts.fetch("bread")) for _ in range(3)]
        await asyncio.sleep(0)
        both[0].cancel()  # whoever leaves takes nothing from the others
        await asyncio.sleep(0)
        encoder.open.set()
        vectors = await asyncio.gather(*both[1:])
        assert encoder.asked == [["bread"]]
        held = texts.held("bread")
        assert isinstance(held, TextVector)
        assert [vector.vector_D.tolist() for vector in (*vectors, held)] == [[len("bread")]] * 3
        assert held.encoder_version == "fake"

    asyncio.run(case())
    assert [metrics.value("asked_texts_total", outcome=outcome) for outcome in ("encoded", "known")] == [1, 1]


def test_an_encoder_that_does_not_answer_is_said_in_time_and_asked_again_by_the_next() -> None:
    metrics = MemoryMetrics()

    async def case() -> None:
        encoder = Encoder(is_open=False)
        texts = asked_texts(encoder, metrics, timeout_ms=1)
        for _ in range(2):
            with pytest.raises(EncoderAway, match="has not answered in time"):
                await texts.fetch("bread")
        assert len(encoder.asked) == 2
        encoder.open.set()
        assert (await texts.fetch("bread")).encoder_version == "fake"

    asyncio.run(case())
    assert metrics.value("asked_texts_total", outcome="late") == 2


def test_too_many_texts_at_a_time_are_refused_at_once_but_not_those_under_way() -> None:
    metrics = MemoryMetrics()

    async def case() -> None:
        encoder = Encoder(is_open=False)
        texts = asked_texts(encoder, metrics, in_flight=2)
        under_way = [asyncio.create_task(texts.fetch(text)) for text in ("a", "b", "a")]
        await asyncio.sleep(0)
        with pytest.raises(EncoderAway, match="2 other texts wait"):
            await texts.fetch("c")
        encoder.open.set()
        await asyncio.gather(*under_way)
        assert len(encoder.asked) == 2
        assert (await texts.fetch("c")).encoder_version == "fake"

    asyncio.run(case())
    assert metrics.value("asked_texts_total", outcome="refused") == 1


@pytest.mark.parametrize("case_", ["fails", "no number"])
def test_an_encoder_that_fails_is_no_vector_that_is_kept(case_: str) -> None:
    metrics = MemoryMetrics()

    async def case() -> None:
        encoder = Encoder()
        encoder.fails = ConnectionError("the actor died") if case_ == "fails" else None
        encoder.value = float("nan")
        texts = asked_texts(encoder, metrics)
        with pytest.raises(EncoderAway):
            await texts.fetch("bread")
        assert texts.held("bread") is None
        encoder.fails, encoder.value = None, 1.0
        assert (await texts.fetch("bread")).vector_D.tolist() == [5]

    asyncio.run(case())
    assert metrics.value("asked_texts_total", outcome="failed") == 1


def test_a_text_is_asked_for_by_the_encoder_that_the_rooms_have_and_a_vector_of_another_is_not_known() -> None:
    metrics = MemoryMetrics()

    async def case() -> None:
        encoder = Encoder(is_open=False)
        texts = asked_texts(encoder, metrics)
        before = asyncio.create_task(texts.fetch("bread"))
        await asyncio.sleep(0)
        encoder.in_use = "new"
        after = asyncio.create_task(texts.fetch("bread"))
        while len(encoder.asked) < 2:
            await asyncio.sleep(0)
        encoder.open.set()
        assert [(await task).encoder_version for task in (before, after)] == ["new", "new"], "nobody gets an old one"
        assert len(encoder.asked) == 3, "one by each, and one more by the first, whose answer was of the old one"
        encoder.in_use = "fake"
        assert texts.held("bread") is None
        encoder.in_use = "new"
        assert texts.held("bread") is not None

    asyncio.run(case())


def test_a_vector_of_another_encoder_than_was_asked_for_is_refused() -> None:
    metrics = MemoryMetrics()

    async def case() -> None:
        encoder = Encoder()
        encoder.gives = "another"
        texts = asked_texts(encoder, metrics)
        with pytest.raises(EncoderAway, match="of another encoder"):
            await texts.fetch("bread")
        encoder.in_use = "another"
        assert texts.held("bread") is None
        encoder.in_use = ""
        assert (await texts.fetch("bread")).encoder_version == "another", "no room has a vector: any encoder will do"

    asyncio.run(case())
    assert metrics.value("asked_texts_total", outcome="failed") == 1
