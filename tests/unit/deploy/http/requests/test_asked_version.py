"""Tests of a version that a request names, over HTTP: answered by it, or refused with what can be asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.http.api import Api
from deploy.http.routes.public import routes
from streaming.metrics import MemoryMetrics
from tests.answers_behind import answers_behind
from tests.served_api import served
from tests.unit.actors.requests.test_goals import learned
from tests.unit.deploy.http.called_api import READY, FakeTexts
from tidecast_client import BadRequest, Client, Query


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of a replica on which the version "one" is live."""
    replica = learned()
    behind = answers_behind(replica.recommender, replica.clock, FakeTexts())
    api = Api(routes(behind, lambda: READY), 2_000_000, MemoryMetrics(), request_timeout_s=5.0)
    with served(api) as port, Client(f"http://127.0.0.1:{port}") as client:
        yield client


def test_a_request_is_answered_by_the_version_that_it_names_or_is_a_400(client: Client) -> None:
    assert [client.recommend("v", version=name).model_version for name in ("", "v0", "one")] == ["one", "v0", "one"]
    with pytest.raises(BadRequest) as refused:
        client.recommend("v", version="two")
    problem = refused.value.problem
    assert (problem.status, refused.value.field) == (400, "version")
    assert problem.detail == "the version 'two' does not answer here: 'v0' and 'one' can be asked for"
    assert refused.value.allowed == '"" for the live one, "v0", "one"'


def test_each_query_of_a_batch_names_its_own_version(client: Client) -> None:
    queries = [Query(viewer="v", version=name) for name in ("v0", "two", "one", "")]
    results = client.recommend_batch(queries).results
    answered = [one.answer.model_version if one.answer else None for one in results]
    assert answered == ["v0", None, "one", "one"]
    assert [one.problem.field if one.problem else None for one in results] == [None, "version", None, None]
