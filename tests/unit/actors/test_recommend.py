"""Owns the tests of the answer. Never touches a broker."""

from __future__ import annotations

from actors.index import IndexConfig, LiveIndex
from actors.recommend import Query, RecommendConfig, Recommender
from actors.tables import Tables, TablesConfig
from streaming.clock import ManualClock


class NoMetrics:
    """Forgets."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...
    def gauge(self, name: str, value: float, **labels: str) -> None: ...
    def observe(self, name: str, value: float, **labels: str) -> None: ...


def test_empty_platform_answers_with_no_rooms() -> None:
    clock = ManualClock()
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), NoMetrics(), clock)
    answer = Recommender(tables, RecommendConfig(), NoMetrics(), clock).recommend(Query(viewer="v"))
    assert answer.rooms == []
    assert not answer.known
