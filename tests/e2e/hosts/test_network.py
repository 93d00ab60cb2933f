"""A test of networks of hosts that one process makes, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.hosts.network import Network, why_not

WHY_NOT = why_not()
TIMES = 5


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "none")
def test_a_network_leaves_nothing_that_is_in_the_way_of_the_next_one() -> None:
    for _ in range(TIMES):
        with Network() as network:
            hosts = [network.add(name) for name in ("a", "b", "c")]
            for host in hosts:
                host.start(["sleep", "100"], Path("/dev/null"), {})
