"""A test of an upgrade and its rollback by whole installations. `make upgrade` has them side by side for minutes."""

from __future__ import annotations

import pytest

from tests.e2e.hosts import cluster, network
from tests.e2e.hosts.cluster import Cluster
from tests.e2e.hosts.upgrade import OLD, Watch, upgrade_and_back

WHY_NOT = network.why_not() or cluster.why_not()
TOGETHER_S, CALM_S, AFTER_S = 5.0, 8.0, 15.0
OLD_AND_NEW_AND_OLD = 3


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "none")
def test_an_upgrade_and_its_rollback_fail_nobody_and_lose_nothing() -> None:
    with Cluster(OLD, head_cpus=0) as old, Watch(old) as watch:
        upgrade_and_back(old, watch, TOGETHER_S, CALM_S, AFTER_S)
        assert watch.differing() == ""
        assert watch.dead == []
        for phase in watch.phases:
            assert phase.requests > 20, phase
            assert phase.failures == [], phase
        seen = {name: len(ids) for (_, name), ids in watch.names.seen.items()}
    assert seen == dict.fromkeys(seen, OLD_AND_NEW_AND_OLD), "one hand-over and one back"
