"""A search over HTTP beside the model and faiss alone: requests/s, p50 and p99, for known and for unknown texts.

    python -m tests.bench.search [--rooms N] [--seconds S] [--quality] [--json]

`bare` encodes one text at a time with the model and finds 20 rooms with faiss, in this process, without an API.
`cached` and `uncached` are GET /v1/search of one caller after the other, in the server that Serve has, with the
Encoder's merging of texts but without Ray; `ratio` is their requests/s over those of `bare` that do the same work
(faiss alone for `cached`). `found` is such an answer without HTTP, by the medians. `steered` and `plain` are
recommendations with and without a steer by a known text. All of them take turns. --quality says instead how well rooms
of the simulated platform are found: 80 topics with six rooms each, half of which have another topic of the category as
their title, asked in other words (searched.tsv) and in their own.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.answers.search import Asked, Search
from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.requests.steer import Steer
from actors.requests.text_vectors import TextVector, TextVectors
from actors.rooms.encoder_client import Encoded
from actors.settings import IndexConfig, RecommendConfig, SearchConfig, TablesConfig
from actors.state.table_reader import Tables
from deploy.http.api import Api
from deploy.http.routes.public import routes
from deploy.serve.asked_texts import AskedTexts
from deploy.serve.encoder_batching import Merger
from streaming.clock import SystemClock
from streaming.log.codec import encode
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from streaming.prometheus import PrometheusMetrics
from streaming.room.text import build_chat_text, build_title_text
from streaming.simulated.phrases import Phrasebook, load_categories
from tests.answers_behind import answers_behind
from tests.bench.recommend import Platform, batch_of
from tests.served_api import served
from tests.unit.deploy.http.called_api import READY
from training.content.content_vector import mix
from training.content.text_encoder import TextEncoder
from training.settings import EncoderConfig

SEED = 1
LIMIT = 20
VIEWERS = 200
ROOMS_EACH = 6  # of a topic
WINDOW = (15, 600, 200)  # messages of a room, characters of its text, characters of a message
FOUND = 10  # rooms looked at
TITLE_WEIGHT = TablesConfig().title_weight
QUESTIONS = Path(__file__).with_name("searched.tsv")

Floats = NDArray[np.float32]


class Stack:
    """A replica with rooms, and the model in a thread beside it."""

    def __init__(self, num_rooms: int) -> None:
        self.encoder = TextEncoder(EncoderConfig(cached_texts=1))
        clock, metrics, platform = SystemClock(), PrometheusMetrics(), Platform(num_rooms, VIEWERS, SEED)
        tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), metrics, clock)
        now_ms = clock.now_ms()
        states = [
            msgspec.structs.replace(platform.state(room, now_ms), encoder_version=self.encoder.version)
            for room in range(num_rooms)
        ]
        tables.apply(batch_of(ROOM_STATES, [(state.room, encode(state)) for state in states]))
        profiles = [platform.profile(viewer, now_ms) for viewer in range(VIEWERS)]
        tables.apply(batch_of(VIEWER_PROFILES, [(p.viewer, encode(p)) for p in profiles]))
        self.vectors = TextVectors(SearchConfig(), clock)
        self.recommender = Recommender(tables, RecommendConfig(), metrics, clock, texts=self.vectors)
        self.rooms_ND = tables.rooms.vectors_ND[tables.rooms.slots()].astype(np.float32)
        self._metrics = metrics
        self._merger: Merger | None = None

    async def asked(self, texts: Sequence[str], _: str) -> Encoded:
        """As `EncoderReplica.encode_asked`, without Ray."""
        self._merger = self._merger or Merger(self._metrics)
        return await self._merger.submit([self.encoder.as_query(text) for text in texts], self.encoder, goes_first=True)

    @contextmanager
    def port(self) -> Iterator[int]:
        """The port of the API."""
        texts = AskedTexts(self.asked, self.vectors, SearchConfig(), self._metrics, lambda: self.encoder.version)
        behind = answers_behind(self.recommender, SystemClock(), texts)
        with served(Api(routes(behind, lambda: READY), 2_000_000, self._metrics)) as port:
            yield port


def speed(num_rooms: int, seconds: float) -> dict[str, float]:
    """Requests a second and milliseconds of each way, and the ratios."""
    stack, numbers = Stack(num_rooms), iter(range(10_000_000))
    with stack.port() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def got(text: str) -> None:
            connection.request("GET", f"/v1/search?limit={LIMIT}&q={quote(text)}")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.client.OK or body.count(b'"room"') != LIMIT:
                raise RuntimeError(f"{answer.status}: {body[:300]!r}")

        def faiss_alone(vector_D: Floats) -> None:
            faiss.omp_set_num_threads(1)
            faiss.knn(vector_D.reshape(1, -1), stack.rooms_ND, LIMIT, faiss.METRIC_INNER_PRODUCT)

        known_D = stack.encoder.encode(["a text that is known"])[0].astype(np.float32)
        search = Search(stack.recommender, title_weight=TITLE_WEIGHT)
        asked, vector = Asked("a text that is known", LIMIT), TextVector(known_D, stack.encoder.version)
        query, steer = Query(viewer="viewer-1"), Steer(text="a text that is known")
        ways: dict[str, Callable[[], object]] = {
            "bare": lambda: faiss_alone(stack.encoder.encode([f"text number {next(numbers)}"])[0].astype(np.float32)),
            "faiss": lambda: faiss_alone(known_D),
            "uncached": lambda: got(f"text number {next(numbers)}"),
            "cached": lambda: got("a text that is known"),
            "found": lambda: msgspec.json.encode(search.found(asked, vector)),
            "plain": lambda: stack.recommender.recommend_json(query),
            "steered": lambda: stack.recommender.recommend_json(msgspec.structs.replace(query, steer=steer)),
        }
        taken = _in_turns(ways, seconds)
    figures: dict[str, float] = {"rooms": num_rooms}
    for name, some in taken.items():
        figures[f"{name}_per_s"] = round(1 / float(np.mean(some)), 1)
        figures[f"{name}_p50_ms"] = round(float(np.median(some)) * 1e3, 3)
        figures[f"{name}_p99_ms"] = round(float(np.percentile(some, 99)) * 1e3, 3)
    figures["uncached_ratio"] = round(figures["uncached_per_s"] / figures["bare_per_s"], 3)
    figures["cached_ratio"] = round(figures["cached_per_s"] / figures["faiss_per_s"], 3)
    figures["found_ratio"] = round(figures["faiss_p50_ms"] / figures["found_p50_ms"], 3)
    figures["steered_of_plain"] = round(figures["steered_p50_ms"] / figures["plain_p50_ms"], 2)
    return figures


def _in_turns(ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call; every way has its turn before one has another."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    until = time.perf_counter() + seconds
    for way in ways.values():
        way()  # the first question makes the index of the content
    while time.perf_counter() < until:
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
    return taken


def quality() -> dict[str, float]:
    """How well rooms are found: the share of first rooms that are about the topic, and of its rooms among the first."""
    encoder, rng = TextEncoder(EncoderConfig()), random.Random(SEED)
    categories = load_categories()
    topics = [topic for category in categories for topic in category.topics]
    names = [f"{topic.category}/{topic.name}" for topic in topics]
    book = Phrasebook(topics, SEED)
    titles, chats, about, drifted = [], [], [], []
    for number, topic in enumerate(topics):
        siblings = [other for other, one in enumerate(topics) if one.category == topic.category and other != number]
        for room in range(ROOMS_EACH):
            titled = number if room < ROOMS_EACH // 2 else rng.choice(siblings)
            messages, chars, each = WINDOW
            said = [(-at, rng.choice(book.pool(number, 0)), 1) for at in range(messages)]
            chats.append(build_chat_text([[one] for one in said], chars, each))
            titles.append(build_title_text(book.title(titled, 0, rng.randrange(10**6)), topic.category, (), 300))
            about.append(number)
            drifted.append(titled != number)
    rooms_ND = mix(encoder.encode(titles), encoder.encode(chats), TITLE_WEIGHT)
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        asked = dict(csv.reader(file, delimiter="\t"))
    kinds = {
        "other_words": [asked[name] for name in names],
        "a_term": [rng.choice(topic.words) for topic in topics],
        "two_terms": [" ".join(rng.sample(topic.words, 2)) for topic in topics],
    }
    figures: dict[str, float] = {"rooms": len(about), "topics": len(topics)}
    for kind, texts in kinds.items():
        order_QN = np.argsort(-(encoder.encode(texts).astype(np.float32) @ rooms_ND.T), axis=1, kind="stable")
        hit_QN = np.array(about)[order_QN] == np.arange(len(topics))[:, None]
        figures[f"{kind}_first"] = round(float(hit_QN[:, 0].mean()), 3)
        figures[f"{kind}_recall"] = round(float(hit_QN[:, :FOUND].sum(axis=1).mean() / ROOMS_EACH), 3)
        of_chat_QN = hit_QN & np.array(drifted)[order_QN]
        figures[f"{kind}_recall_by_chat"] = round(float(of_chat_QN[:, :FOUND].sum(axis=1).mean()) * 2 / ROOMS_EACH, 3)
    named = [category.name for category in categories]
    order_QN = np.argsort(-(encoder.encode(named).astype(np.float32) @ rooms_ND.T), axis=1, kind="stable")
    of_room_N = np.array([topics[number].category for number in about])
    hit_QN = of_room_N[order_QN[:, :FOUND]] == np.array(named)[:, None]
    figures["category_precision"] = round(float(hit_QN.mean()), 3)
    return figures


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = quality() if options.quality else speed(options.rooms, options.seconds)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:28} {figure:>10}")


if __name__ == "__main__":
    main()
