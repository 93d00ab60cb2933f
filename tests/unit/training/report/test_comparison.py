"""Tests of figures by what was shown, and of variants: who counts where, and what is said of the division."""

from __future__ import annotations

import json
import math

import pytest

from deploy.terminal.report_table import draw
from tests.unit.training.report.told import WINDOW_S, did, joined, shown
from training.experiments import Experiment, Variant
from training.report.breakdown import DIMENSIONS, Figures, by, whole
from training.report.comparison import compare
from training.report.report import as_dict, report_of

ORDER = Experiment(name="order", variants=(Variant(name="a"), Variant(name="b")))
DAY_S = 86_400


def viewers_of(variant: str, count: int) -> list[str]:
    names = (f"v{number}" for number in range(10_000))
    return [name for name in names if ORDER.variant_of(name).name == variant][:count]  # type: ignore[union-attr]


def seen(rows: list[Figures]) -> dict[str, tuple[int, int, int]]:
    return {row.name: (row.viewers, row.impressions, row.enters) for row in rows}


def test_figures_are_by_what_was_shown() -> None:
    rooms = joined(
        shown(0, "v", "a", "b", sources=("visited", "new")),
        shown(0, "w", "c", model_version="m1", first_position=40),
        did(1, "v", "enter", "b"),
        shown(DAY_S, "v", "a"),
        did(DAY_S + 1, "v", "follow", "a"),
    ).shown
    assert seen(by(rooms, "version")) == {"v0": (1, 3, 1), "m1": (1, 1, 0)}
    assert seen(by(rooms, "source")) == {"visited": (1, 1, 0), "new": (2, 3, 1)}
    assert seen(by(rooms, "position")) == {"1": (1, 2, 0), "2": (1, 1, 1), "21 on": (1, 1, 0)}
    assert seen(by(rooms, "day")) == {"2025-11-24": (2, 3, 1), "2025-11-25": (1, 1, 0)}
    assert whole(rooms).enter.value == 0.25
    assert whole(rooms).follow.value == 0.25


def answers(viewer: str, variant: str, rooms: int, enters: int) -> list[object]:
    names = [f"room-{number}" for number in range(rooms)]
    found: list[object] = [shown(0, viewer, *names, experiments=[("order", variant)])]
    return found + [did(1 + number, viewer, "enter", name) for number, name in enumerate(names[:enters])]


def test_variants_are_compared_with_the_first_by_viewers() -> None:
    records = [one for viewer in viewers_of("a", 40) for one in answers(viewer, "a", 10, 1)]
    records += [one for viewer in viewers_of("b", 40) for one in answers(viewer, "b", 10, 3)]
    found = compare(joined(*records).shown, "order", ORDER)  # type: ignore[arg-type]
    control, other = found.variants
    assert (control.figures.name, control.enter) == ("a", None)
    assert other.enter is not None
    assert other.enter.value == pytest.approx(0.2)
    assert other.enter.p == 0  # every viewer of a variant does the same
    assert found.sample is not None
    assert (found.sample.mismatch, found.mixed, found.moved) == (False, 0, 0)


def test_a_viewer_of_two_variants_counts_in_none_and_one_who_moved_is_counted() -> None:
    (one, two, three) = viewers_of("a", 3)
    records = [*answers(one, "a", 2, 0), *answers(two, "b", 2, 0), *answers(three, "a", 2, 0)]
    again = shown(5, three, "x", request_id="again", experiments=[("order", "b")])
    found = compare(joined(*records, again).shown, "order", ORDER)  # type: ignore[arg-type]
    assert [variant.figures.viewers for variant in found.variants] == [1, 1]
    assert (found.mixed, found.moved) == (1, 1)


def test_lost_viewers_of_a_variant_are_a_mismatch() -> None:
    records = [one for viewer in viewers_of("a", 300) for one in answers(viewer, "a", 1, 0)]
    records += [one for viewer in viewers_of("b", 200) for one in answers(viewer, "b", 1, 0)]
    found = compare(joined(*records).shown, "order", ORDER)  # type: ignore[arg-type]
    assert found.sample is not None
    assert found.sample.mismatch


def test_answers_outside_of_the_experiment_count_in_no_variant() -> None:
    (one,) = viewers_of("a", 1)
    found = compare(
        joined(*answers(one, "a", 2, 1), shown(0, "w", "r"), shown(0, "x", "r", experiments=[("other", "a")])).shown,  # type: ignore[arg-type]
        "order",
        ORDER,
    )
    assert [variant.figures.impressions for variant in found.variants] == [2, 0]


@pytest.mark.parametrize(
    "known", [None, Experiment(name="order", variants=(Variant(name="a"), Variant(name="x")))], ids=["no", "other"]
)
def test_of_an_experiment_that_the_configuration_does_not_know_no_ratio_is_expected(known: Experiment | None) -> None:
    (one,) = viewers_of("b", 1)
    found = compare(joined(*answers(one, "b", 2, 1)).shown, "order", known)  # type: ignore[arg-type]
    assert found.sample is None
    assert "b" in [variant.figures.name for variant in found.variants]


def test_the_report_as_json_has_no_number_that_json_lacks_and_the_table_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (one,) = viewers_of("a", 1)
    found = joined(*answers(one, "a", 2, 1))  # type: ignore[arg-type]
    report = report_of(found, WINDOW_S, {"order": ORDER})
    assert math.isnan(report.all.enter.error)
    read = json.loads(json.dumps(as_dict(report), allow_nan=False))
    assert read["all"]["enter_per_impression"] == {"value": 0.5, "low": None, "high": None}
    assert {*DIMENSIONS} <= {*read}
    assert read["experiments"][0]["variants"][1]["difference"]["enter"]["p"] is None
    draw(report)
    printed = capsys.readouterr().out
    assert "1 by viewer and room" in printed
    assert "experiment order" in printed
    assert "50.00" in printed
