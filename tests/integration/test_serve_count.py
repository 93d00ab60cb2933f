"""Serve's count of what a replica answers, told by direct answers: how long each counts, and when it is left alone."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from deploy.ray.direct_answers import ServeCount, UnexpectedError

# Ray's, while it is imported
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def replica() -> Any:
    """Serve's object of a replica, with what counts of it: its constructor wants a running Serve."""
    import ray.serve  # noqa: F401, PLC0415  its inner modules cannot be imported first
    from ray.serve._private.replica import Replica, ReplicaMetricsManager  # noqa: PLC0415
    from ray.serve._private.utils import Semaphore  # noqa: PLC0415

    manager = ReplicaMetricsManager.__new__(ReplicaMetricsManager)
    manager._num_ongoing_requests, manager._ingress, manager._cached_metrics_enabled = 0, True, True
    manager._ingress_metrics, manager._cached_latencies = {}, defaultdict(deque)
    manager._user_code_time_accumulator, manager._cached_request_counter = Times(), defaultdict(int)
    manager._max_processing_latency_trackers = defaultdict(Times)
    manager._should_emit_request_ingress_metrics = lambda _: False
    found = Replica.__new__(Replica)
    found._event_loop, found._metrics_manager = asyncio.get_running_loop(), manager
    found._semaphore = Semaphore(lambda: 1)
    found._route_prefix, found._deployment_id = "/", SimpleNamespace(app_name="a", name="d")
    found._user_callable_wrapper = SimpleNamespace(_run_user_code_in_separate_thread=False)
    found._reserved_slots = set()
    return found


class Times:
    def add(self, _: float) -> None: ...


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    import ray.serve  # noqa: F401, PLC0415

    logger = logging.getLogger("ray.serve")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


def test_a_request_counts_until_whoever_waits_for_this_turn_of_the_loop_has_looked() -> None:
    async def test() -> None:
        serve = replica()
        count = ServeCount.of(ProxyHeadersMiddleware(serve._direct_ingress_asgi))
        looks: list[int] = []
        for number in (3, 2):
            for _ in range(number):
                count.answered("POST", 200, 1.0)
            asyncio.get_running_loop().call_soon(lambda: looks.append(serve.get_num_ongoing_requests()))
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        assert looks[0] == 3
        assert looks[1] in (2, 5)  # those of the turn before may still count
        assert serve.get_num_ongoing_requests() == 0
        assert serve._metrics_manager._cached_request_counter == {"/": 5}

    asyncio.run(test())


def test_it_is_full_where_all_places_are_taken() -> None:
    async def test() -> None:
        serve = replica()
        count = ServeCount.of(serve._direct_ingress_asgi)
        assert not count.full
        await serve._semaphore.acquire()
        assert count.full
        serve._semaphore.release()
        assert not count.full

    asyncio.run(test())


async def _nobody(_scope: Any, _receive: Any, _send: Any) -> None: ...


def _another(_: Any) -> Any:
    return _nobody


def _between(serve: Any) -> Any:
    from ray.serve._private.http_util import RequestIdMiddleware  # noqa: PLC0415

    return RequestIdMiddleware(serve._direct_ingress_asgi)


def _in_a_thread(serve: Any) -> Any:
    serve._user_callable_wrapper._run_user_code_in_separate_thread = True
    return serve._direct_ingress_asgi


def _logging(serve: Any) -> Any:
    logging.getLogger("ray.serve").setLevel(logging.INFO)
    return serve._direct_ingress_asgi


def _counts_nothing(serve: Any) -> Any:
    serve._metrics_manager.inc_num_ongoing_requests = lambda _: None
    return serve._direct_ingress_asgi


def _has_no_places(serve: Any) -> Any:
    del serve._semaphore
    return serve._direct_ingress_asgi


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_another, "not a replica of Serve"),
        (_between, "not a replica of Serve"),
        (_in_a_thread, "another thread"),
        (_logging, "logs or traces"),
        (_counts_nothing, "does not count"),
        (_has_no_places, "not as expected"),
    ],
)
def test_a_serve_that_is_not_as_expected_is_left_alone(change: Callable[[Any], Any], why: str) -> None:
    async def test() -> None:
        with pytest.raises(UnexpectedError, match=why):
            ServeCount.of(change(replica()))

    asyncio.run(test())
