"""The policy by which Serve scales a deployment by a backlog. Serve pickles it by value: it imports nothing of ours.

Never counts anything itself: replicas report their backlog in `record_autoscaling_stats`, under one name, or under one
per partition (`lag.0`, `lag.1`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

QUIET = 0.1  # of what one replica may have: with less than that for all of them, one replica goes
HOT_SHARE = 0.5  # of the whole backlog: a partition with more is mostly alone
HOT_SINCE = "hot_since"  # in Serve's state of the policy: when each partition began to be hot, by name


class Decision(NamedTuple):
    """The number of replicas that is wanted, and since when each partition has been hot, by name, in seconds."""

    replicas: int
    hot_since_s: dict[str, float]


def decide(
    backlogs: Mapping[str, float],
    hot_since_s: Mapping[str, float],
    *,
    now_s: float,
    current: int,
    per_replica: float,
    hot_s: float,
) -> Decision:
    """Decides from the backlog of each partition. Serve then waits, and keeps to the least and the most, by itself.

    A partition is read by one worker, however many there are. So one that has lagged for `hot_s`, with most of the
    whole backlog, is left out: by then its worker has only what no other can take. hot_s 0: nothing is left out.
    """
    whole = sum(backlogs.values())
    hot = {name for name, backlog in backlogs.items() if backlog > max(per_replica, HOT_SHARE * whole)}
    since_s = {name: hot_since_s.get(name, now_s) for name in sorted(hot)}
    left_out = {name for name, began_s in since_s.items() if hot_s and now_s - began_s >= hot_s}
    counted = sum(backlog for name, backlog in backlogs.items() if name not in left_out)
    wanted = math.ceil(counted / per_replica)
    if wanted > current:
        return Decision(wanted, since_s)
    if counted < QUIET * per_replica and not left_out:
        return Decision(max(1, current - 1), since_s)
    return Decision(current, since_s)


class BacklogPolicy:
    """`decide` as Serve calls it. Serve constructs one per deployment, in its controller."""

    def __init__(self, metric: str, per_replica: float, hot_s: float = 0.0) -> None:
        """metric: the name under which replicas report, alone or before a dot and the partition."""
        self._metric = metric
        self._per_replica = per_replica
        self._hot_s = hot_s

    def __call__(self, ctx: Any) -> tuple[int, dict[str, Any]]:
        """ctx: Serve's AutoscalingContext. Returns the wanted number and the state for the next call."""
        decision = decide(
            self._backlogs(ctx.aggregated_metrics or {}),
            ctx.policy_state.get(HOT_SINCE, {}),
            now_s=ctx.current_time or time.time(),
            current=ctx.target_num_replicas,
            per_replica=self._per_replica,
            hot_s=self._hot_s,
        )
        return decision.replicas, {HOT_SINCE: decision.hot_since_s}

    def _backlogs(self, metrics: Mapping[str, Mapping[Any, float]]) -> dict[str, float]:
        """By name, the sum over replicas; of a partition the largest: after a rebalance two replicas report it."""
        ours = {name: list(said.values()) for name, said in metrics.items() if said and self._is_ours(name)}
        return {name: sum(said) if name == self._metric else max(said) for name, said in ours.items()}

    def _is_ours(self, name: str) -> bool:
        return name == self._metric or name.startswith(f"{self._metric}.")
