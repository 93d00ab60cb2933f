"""Tests of deploy.http.prometheus_text."""

from __future__ import annotations

import pytest

from deploy.http.prometheus_text import NotMetrics, parse
from streaming.prometheus import PrometheusMetrics

TEXT = """\
# HELP requests_total HTTP requests
# TYPE requests_total counter
requests_total{route="/a",status="200"} 3.0
requests_total{route="/a, \\"b\\"",status="500"} 1.0
up 1.0 1700000000000
seconds_bucket{stage="x",le="0.1"} 50.0
seconds_bucket{stage="x",le="1.0"} 90.0
seconds_bucket{stage="x",le="+Inf"} 100.0
"""


def test_sum_runs_over_the_series_that_have_the_labels() -> None:
    seen = parse(TEXT)
    assert seen.total("requests_total") == 4
    assert seen.total("requests_total", status="500") == 1
    assert seen.total("requests_total", route="/b") == 0
    assert seen.total("up") == 1
    assert seen.total("unheard_of") == 0


@pytest.mark.parametrize(("share", "value"), [(0.25, 0.05), (0.5, 0.1), (0.7, 0.55), (0.95, 1.0)])
def test_quantile_is_interpolated_in_its_bucket(share: float, value: float) -> None:
    assert parse(TEXT).quantile("seconds", share, stage="x") == pytest.approx(value)


def test_quantile_of_nothing_is_none() -> None:
    seen = parse(TEXT)
    assert seen.quantile("seconds", 0.5, seen, stage="x") is None
    assert seen.quantile("seconds", 0.5, stage="y") is None
    assert seen.quantile("unheard_of", 0.5) is None


def test_quantile_counts_only_what_came_since() -> None:
    before = parse('seconds_bucket{le="0.1"} 50\nseconds_bucket{le="1.0"} 50\nseconds_bucket{le="+Inf"} 50\n')
    after = parse('seconds_bucket{le="0.1"} 50\nseconds_bucket{le="1.0"} 60\nseconds_bucket{le="+Inf"} 60\n')
    assert after.quantile("seconds", 0.5, before) == pytest.approx(0.55)


def test_numbers_are_read_as_prometheus_writes_them() -> None:
    seen = parse("up 2.5e-3\nload +Inf\nodd NaN 5\n")
    assert seen.total("up") == 2.5e-3
    assert seen.total("load") == float("inf")
    assert seen.total("odd") != seen.total("odd")


@pytest.mark.parametrize("text", ["Path '/metrics' not found\n", "up one\n", "<html>\n"])
def test_a_page_that_is_none_of_metrics_is_refused(text: str) -> None:
    with pytest.raises(NotMetrics, match="page of metrics"):
        parse(text)


def test_what_our_processes_expose_is_read_back() -> None:
    metrics = PrometheusMetrics()
    metrics.count("requests_total", 3, route='/a "b"\n', status="200")
    metrics.observe("request_seconds", 0.0003, route="/a")
    seen = parse(metrics.expose().decode())
    assert seen.total("tidecast_requests_total", route='/a "b"\n') == 3
    assert seen.quantile("tidecast_request_seconds", 0.5) == pytest.approx(0.00035)
