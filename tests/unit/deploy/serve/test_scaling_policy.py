"""Workers follow the backlog, except that of one hot partition, which one worker reads however many there are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deploy.config.settings import Settings, load
from deploy.serve.scaling import lag_by_partition, number_of_replicas
from deploy.serve.scaling_policy import BacklogPolicy, Decision, decide
from streaming.errors import ConfigError

PER = 1_000.0


def decided(
    backlogs: dict[str, float], current: int, since: dict[str, float] | None = None, now_s: float = 100.0
) -> Decision:
    return decide(backlogs, since or {}, now_s=now_s, current=current, per_replica=PER, hot_s=60.0)


@pytest.mark.parametrize(
    ("backlogs", "current", "wanted"),
    [
        ({"lag.0": 1_500.0, "lag.1": 1_400.0}, 1, 3),  # each gets what one replica may have
        ({"lag.0": 900.0}, 1, 1),
        ({"lag.0": 300.0, "lag.1": 300.0}, 3, 3),  # they keep up: as many stay
        ({"lag.0": 20.0, "lag.1": 10.0}, 3, 2),  # nothing to do: one goes
        ({}, 1, 1),
        ({}, 2, 1),
    ],
)
def test_replicas_follow_the_backlog(backlogs: dict[str, float], current: int, wanted: int) -> None:
    assert decided(backlogs, current).replicas == wanted


def test_a_partition_that_lags_alone_for_long_no_longer_counts() -> None:
    hot = {"lag.0": 50_000.0, "lag.1": 100.0, "lag.2": 100.0}
    first = decided(hot, 1)
    assert first == Decision(51, {"lag.0": 100.0}), (
        "at first it may be any lag: its worker's other partitions move away"
    )
    later = decided(hot, 3, first.hot_since_s, now_s=160.0)
    assert later == Decision(3, {"lag.0": 100.0}), "then no other worker could take it"


def test_others_count_beside_a_hot_partition() -> None:
    lags = {"lag.0": 50_000.0, "lag.1": 3_000.0, "lag.2": 2_500.0}
    assert decided(lags, 2, {"lag.0": 0.0}).replicas == 6


def test_a_partition_that_has_caught_up_begins_anew() -> None:
    cooled = decided({"lag.0": 10.0, "lag.1": 10.0}, 2, {"lag.0": 0.0})
    assert cooled == Decision(1, {})
    assert decided({"lag.0": 50_000.0}, 1, cooled.hot_since_s).replicas == 50


def test_lag_of_all_partitions_is_never_left_out() -> None:
    lags = {f"lag.{number}": 5_000.0 for number in range(4)}
    assert decided(lags, 1, dict.fromkeys(lags, 0.0)) == Decision(20, {})


def context(metrics: dict[str, dict[str, float]], **more: Any) -> Any:
    return SimpleNamespace(
        **{"aggregated_metrics": metrics, "policy_state": {}, "current_time": 100.0, "target_num_replicas": 1, **more}
    )


def test_serve_calls_the_policy_and_keeps_its_state() -> None:
    policy = BacklogPolicy("lag", PER, hot_s=60.0)
    lags = {"lag.0": {"a": 50_000.0}, "lag.1": {"b": 100.0}, "other": {"a": 9e9}}
    wanted, state = policy(context(lags))
    assert wanted == 51
    assert policy(context(lags, policy_state=state, current_time=200.0, target_num_replicas=4))[0] == 4


def test_a_partition_that_two_replicas_report_counts_once_and_a_queue_of_two_counts_twice() -> None:
    assert BacklogPolicy("lag", PER)(context({"lag.0": {"a": 4_000.0, "b": 3_900.0}}))[0] == 4
    assert BacklogPolicy("waiting_texts", PER)(context({"waiting_texts": {"a": 4_000.0, "b": 3_900.0}}))[0] == 8


def test_a_workers_report_is_what_the_policy_reads() -> None:
    report = {name: {"a": value} for name, value in lag_by_partition({0: 3_000, 7: 2_000}).items()}
    assert BacklogPolicy("lag", PER)(context(report))[0] == 5


def test_serve_loads_the_policy_by_value_without_our_packages() -> None:
    """Serve's controller may run where our code is not: it gets the module's pickle."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    from ray.serve.config import AutoscalingPolicy  # noqa: PLC0415

    options = number_of_replicas(scaled(), "RoomWorker")["autoscaling_config"]["policy"]
    pickled = AutoscalingPolicy(**options).get_serialized_policy_def()
    script = (
        "import sys; from ray import cloudpickle; policy = cloudpickle.loads(bytes.fromhex(sys.argv[1]))('lag', 10.0); "
        "print(policy.__class__.__name__, 'deploy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, pickled.hex()], capture_output=True, text=True, check=True, cwd="/", env={}
    )
    assert done.stdout == "BacklogPolicy False\n"


def scaled(**changes: str) -> Settings:
    environ = {"TIDECAST_SCALING__ROOM_WORKERS": "9", "TIDECAST_SCALING__ENCODERS": "3", **changes}
    return load(None, environ).settings


def test_without_a_most_the_number_is_fixed() -> None:
    for name in ("Recommender", "RoomWorker", "ProfileWorker", "Encoder", "Archiver", "Trainer"):
        assert number_of_replicas(Settings(), name).keys() == {"num_replicas"}


def test_no_more_workers_than_partitions() -> None:
    assert number_of_replicas(scaled(), "RoomWorker")["autoscaling_config"]["max_replicas"] == 4
    assert number_of_replicas(scaled(), "Encoder")["autoscaling_config"]["max_replicas"] == 3


def test_a_most_below_the_least_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least the least number of them, 5"):
        number_of_replicas(scaled(TIDECAST_RAY__ENCODERS="5"), "Encoder")
