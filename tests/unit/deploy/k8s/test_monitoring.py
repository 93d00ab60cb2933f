"""Alerts and panels ask for metrics that processes expose, with labels that they have. Prometheus takes the rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.k8s.overlays import OVERLAYS
from streaming.metrics import METRICS
from streaming.prometheus import PrometheusMetrics, samples
from tests.unit.deploy.k8s.made import the

PROMTOOL = shutil.which("promtool")
ASKED = re.compile(r"\b(tidecast_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"by \(([^)]*)\)")
ADDED = {"namespace", "le", "pod"}  # by Prometheus, and of a histogram


def exposed() -> dict[str, set[str]]:
    """The labels of each series of a real page of metrics, on which each metric has been counted once."""
    metrics = PrometheusMetrics()
    for metric in METRICS.values():
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind == "counter":
            metrics.count(metric.name, **labels)
        elif metric.kind == "gauge":
            metrics.gauge(metric.name, 1.0, **labels)
        else:
            metrics.observe(metric.name, 1.0, **labels)
    return {name: set(labels) for name, labels, _ in samples(metrics.expose().decode())}


def expressions() -> Iterator[tuple[str, str]]:
    for group in the("prod", "PrometheusRule")["spec"]["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])
    board = json.loads(the("prod", "ConfigMap", "tidecast-dashboard")["data"]["tidecast.json"])
    for panel in board["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


@pytest.mark.parametrize(("place", "expression"), list(expressions()), ids=lambda text: text[:40])
def test_every_metric_and_label_that_is_asked_for_is_exposed(place: str, expression: str) -> None:
    there = exposed()
    asked = ASKED.findall(expression)
    assert asked, place
    grouped = {label.strip() for found in GROUPED.findall(expression) for label in found.split(",")}
    for name, selector in asked:
        assert name in there, f"{place}: no process exposes {name}"
        selected = set(re.findall(r"(\w+)\s*=~?", selector))
        assert "namespace" in selected, f"{place}: another installation's metrics too"
        assert selected | grouped <= there[name] | ADDED, f"{place}: {name} has no such label"


def test_an_alert_says_what_it_means_of_labels_that_it_has() -> None:
    for group in the("prod", "PrometheusRule")["spec"]["groups"]:
        for rule in group["rules"]:
            named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
            grouped = {label.strip() for found in GROUPED.findall(rule["expr"]) for label in found.split(",")}
            assert named <= grouped, rule["alert"]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt install prometheus)")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_takes_the_rules(overlay: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(the(overlay, "PrometheusRule")["spec"]))
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


REQUESTS = 'tidecast_requests_total{namespace="tidecast",pod="a",status="%s"}'
READY = 'tidecast_replica_ready{namespace="tidecast",pod="a"}'
RETURNED = 'tidecast_dead_rooms_returned_total{namespace="tidecast",pod="a"}'


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt install prometheus)")
@pytest.mark.parametrize(
    ("alert", "series", "is_raised", "labels"),
    [
        ("TidecastNotReady", {READY: "0x20"}, True, {}),
        ("TidecastNotReady", {READY: "2x20"}, False, {}),
        ("TidecastNotReady", {}, True, {"namespace": "tidecast"}),
        ("TidecastDeadRoomReturned", {RETURNED: "0x10 1x10"}, True, {"namespace": "tidecast", "pod": "a"}),
        ("TidecastDeadRoomReturned", {RETURNED: "3x20"}, False, {}),
        ("TidecastErrors", {REQUESTS % 500: "0+3x20", REQUESTS % 200: "0+97x20"}, True, {}),
        ("TidecastErrors", {REQUESTS % 200: "0+97x20"}, False, {}),
    ],
)
def test_an_alert_is_raised_when_it_should_and_only_then(
    alert: str, series: dict[str, str], is_raised: bool, labels: dict[str, str], tmp_path: Path
) -> None:
    rules = the("prod", "PrometheusRule")["spec"]
    (rule,) = (one for group in rules["groups"] for one in group["rules"] if one["alert"] == alert)
    expected = {"exp_labels": {**rule["labels"], **labels}, "exp_annotations": rule["annotations"]}
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "15m", "alertname": alert, "exp_alerts": [expected] if is_raised else []}],
    }
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
