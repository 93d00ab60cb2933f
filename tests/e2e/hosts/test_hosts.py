"""Tests of what users notice on a cluster of several hosts. `make hosts` tries every fault; here are two of them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e.hosts import cluster, network
from tests.e2e.hosts.cluster import HOSTS, PORTS, Cluster
from tests.e2e.hosts.faults import FAULTS, SHORT
from tests.e2e.hosts.trial import Trials
from tests.e2e.running import await_true

WHY_NOT = network.why_not() or cluster.why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
CLOSED = (8404, 9101)  # HAProxy's statistics and metrics, which Serve opens to everybody


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with Cluster() as started:
        yield started


def page(address: str, port: int, path: str, key: str = "") -> str:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with urllib.request.urlopen(
        urllib.request.Request(f"http://{address}:{port}{path}", headers=headers), timeout=20
    ) as answer:
        return str(answer.read().decode())


def test_each_host_says_of_itself_what_is_so(running: Cluster) -> None:
    addresses = {running.host(name).address for name in HOSTS}
    await_true("a replica of each host", lambda: addresses <= {post.node for post in running.posts("head")})
    asked = {name: total(page(running.host(name).address, PORTS["admin"], "/metrics")) for name in HOSTS}
    for name in HOSTS:
        address = running.host(name).address
        assert '"ready":true' in page(address, PORTS["admin"], "/readyz")
        for _ in range(5):
            page(address, PORTS["http"], "/v1/rooms", running.settings.http.token)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            page(address, PORTS["http"], "/v1/rooms")
        for port in CLOSED:
            with pytest.raises(urllib.error.URLError, match="refused"):
                page(address, port, "/")

    def sums_agree() -> bool:
        now = {name: total(page(running.host(name).address, PORTS["admin"], "/metrics")) for name in HOSTS}
        return sum(now.values()) - sum(asked.values()) == 6 * len(HOSTS)

    await_true("the sum over hosts equals what was asked", sums_agree)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in SHORT], ids=lambda fault: fault.name)
def test_no_caller_is_failed_and_nothing_lost(running: Cluster, fault: object) -> None:
    with Trials(running) as trials:
        outcome = trials.run(fault)
    assert outcome.requests > 100
    assert outcome.keeps_promises, outcome


def total(metrics: str) -> float:
    """How many lists of rooms the replicas of a host have answered."""
    lines = [line for line in metrics.splitlines() if line.startswith("tidecast_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if 'route="/v1/rooms"' in line)
