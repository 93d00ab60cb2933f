"""Owns the tests of deploy.exposition."""

from __future__ import annotations

import pytest

from deploy.exposition import parse

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


def test_what_is_no_sample_is_left_out() -> None:
    seen = parse("Path '/metrics' not found\nup one\nup 2.5e-3\nload +Inf\nodd NaN 5\n")
    assert seen.total("up") == 2.5e-3
    assert seen.total("load") == float("inf")
    assert seen.total("odd") != seen.total("odd")
    assert set(seen.series) == {"up", "load", "odd"}
