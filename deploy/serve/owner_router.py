"""A router that sends a call about a partition to the worker that owns it. Never knows what the call is for.

Serve sends this class by value to the processes that call the deployment, so it imports nothing of ours.
"""

from __future__ import annotations

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

ARGUMENT = 1  # the call's argument that is its partition


class OwnerRouter(RequestRouter):  # type: ignore[misc]
    """A request router for a deployment whose `record_routing_stats` names the `partitions` that a replica owns.

    Where no owner is known, as for a second or two after a rebalance, any replica is asked.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The owner alone, as a list with one rank."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True  # there is no second choice, so wait between tries
        partition = pending_request.args[ARGUMENT]
        owners = [replica for replica in candidate_replicas if partition in replica.routing_stats.get("partitions", ())]
        return [owners or candidate_replicas]
