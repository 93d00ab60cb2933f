"""A call goes to the replica that says it owns the partition, and to any while nobody says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's, while it is imported


@dataclass
class FakeReplica:
    """The part of a RunningReplica that the router looks at."""

    routing_stats: dict[str, Any] = field(default_factory=dict)


def choose(replicas: list[FakeReplica], partition: int) -> list[list[FakeReplica]]:
    from deploy.serve.owner_router import OwnerRouter  # noqa: PLC0415  seconds of imports, and their warnings

    request = SimpleNamespace(args=["viewer", partition], routing_context=SimpleNamespace(should_backoff=False))
    router = OwnerRouter.__new__(OwnerRouter)  # its constructor wants a running Serve; choosing needs nothing of it
    chosen = asyncio.run(router.choose_replicas(replicas, request))
    assert request.routing_context.should_backoff
    return chosen


def test_the_owner_alone_is_asked() -> None:
    one, two = FakeReplica({"partitions": (0, 1)}), FakeReplica({"partitions": (2, 3)})
    assert choose([one, two], 1) == [[one]]
    assert choose([one, two], 2) == [[two]]


def test_any_is_asked_while_no_owner_is_known() -> None:
    one, two = FakeReplica(), FakeReplica({"partitions": (2, 3)})
    assert choose([one, two], 1) == [[one, two]]
