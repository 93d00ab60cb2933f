"""Tests of deploy.console.map_trails and map_picture: what moved, which colour stays, and a frame that stays."""

from __future__ import annotations

import pytest

from deploy.console.map_picture import GROUPS, LARGEST_PX, OTHER, SMALLEST_PX, Picture, found, framed
from deploy.console.map_trails import KEPT_S, MOST_PLACES, MapTrails
from deploy.console.pages.map_chart import disc_rows, group_colour, ring_rows, trail_rows
from deploy.console.theme import GREY
from tests.unit.deploy.console.console_world import drawn, point


def test_a_trail_leads_from_where_a_room_was_to_where_it_is_and_is_forgotten() -> None:
    trails = MapTrails()
    trails.add(0.0, drawn(point("r1", 0.0), point("r2", 0.5)))
    trails.add(2.0, drawn(point("r1", 0.2), point("r2", 0.5)))
    trails.add(4.0, drawn(point("r1", 0.2, 0.3), point("r2", 0.5)))
    assert trails.trails["r1"].places == ((0.0, 0.0), (0.2, 0.0), (0.2, 0.3))
    assert 0.36 < trails.trails["r1"].moved < 0.37
    assert "r2" not in trails.trails
    trails.add(4.0 + KEPT_S + 1, drawn(point("r1", 0.2, 0.3), point("r2", 0.5)))
    assert trails.trails == {}


def test_small_steps_add_no_place_and_a_trail_is_bounded() -> None:
    trails = MapTrails()
    for step in range(200):
        trails.add(step / 10, drawn(point("r1", step * 0.001)))
    assert len(trails.trails["r1"].places) <= MOST_PLACES + 1
    for step in range(50):
        trails.add(20 + step / 10, drawn(point("r1", step * 0.1)))
    assert len(trails.trails["r1"].places) == MOST_PLACES + 1


def test_other_axes_are_no_move_and_a_room_that_is_gone_has_no_trail() -> None:
    trails = MapTrails()
    trails.add(0.0, drawn(point("r1", 0.0)))
    trails.add(1.0, drawn(point("r1", 0.3)))
    trails.add(2.0, drawn(point("r1", -0.6), axes="other"))
    assert trails.trails == {}
    trails.add(3.0, drawn(point("r1", 0.0), axes="other"))
    assert trails.trails
    trails.add(4.0, drawn(point("r2"), axes="other"))
    assert trails.trails == {}


def test_a_group_keeps_its_colour_while_it_is_there() -> None:
    picture = Picture("category")
    rooms = [point(f"r{at}", category=f"c{at}", audience=100 - at) for at in range(GROUPS + 3)]
    picture.update(drawn(*rooms), {})
    before = {spot.group: spot.colour for spot in picture.spots}
    assert sorted(before.values()) == [-1, -1, -1, *range(GROUPS)]
    assert (OTHER, -1, 3) in picture.groups
    picture.update(drawn(*reversed(rooms[3:]), point("big", category="c99", audience=9_000)), {})
    after = {spot.group: spot.colour for spot in picture.spots}
    assert all(after[name] == number for name, number in before.items() if number >= 0 and name in after)
    assert after["c99"] >= 0, "a colour that became free"
    assert group_colour(-1) == GREY
    assert len({group_colour(number) for number in range(-1, GROUPS)}) == GROUPS + 1


def test_a_map_is_coloured_by_language_or_code_too() -> None:
    for kind, names in (("language", {"de", "no language"}), ("code", {"code 7", "no code"})):
        picture = Picture(kind)  # type: ignore[arg-type]
        picture.update(drawn(point("a", language="de", code=7), point("b", language="")), {})
        assert {name for name, _, _ in picture.groups} == names


def test_the_frame_stays_while_rooms_fill_it_and_follows_where_they_do_not() -> None:
    picture = Picture("category")
    corners = [point("a", -1.0, -1.0), point("b", 1.0, 1.0)]
    picture.update(drawn(*corners), {})
    first = picture.frame
    picture.update(drawn(*corners, point("c", 0.99, 0.2)), {})
    assert picture.frame == first
    picture.update(drawn(*corners, point("c", 1.5, 0.2)), {})
    wider = picture.frame
    assert wider is not None
    assert first is not None
    assert wider.right > 1.5
    assert first.left == wider.left
    picture.update(drawn(point("a", -0.2, 0.0), point("b", 0.2, 0.1)), {})
    assert picture.frame is not None
    assert picture.frame.right < 0.3
    picture.update(drawn(point("a", 0.1, 0.1)), {})
    assert picture.frame.left < 0.1 < picture.frame.right


@pytest.mark.parametrize("at", [0.0, 0.24449, -0.31256])
def test_a_room_alone_is_in_the_middle_of_the_frame(at: float) -> None:
    frame = framed([point("a", at, at)], None)
    assert frame is not None
    assert abs((at - frame.left) / frame.width - 0.5) < 0.01  # less than its disc, on any screen
    assert abs((at - frame.low) / frame.height - 0.5) < 0.01


def test_areas_go_by_audience_and_what_moved_little_has_no_trail() -> None:
    trails, picture = MapTrails(), Picture("category")
    maps = [
        drawn(point("big", 0.0, audience=400), point("mid", 0.5, audience=100), point("none", audience=0)),
        drawn(point("big", 0.2, audience=400), point("mid", 0.51, audience=100), point("none", audience=0)),
    ]
    for at, one in enumerate(maps):
        trails.add(float(at), one)
        picture.update(one, trails.trails)
    assert [spot.size_px for spot in picture.spots] == [LARGEST_PX, (SMALLEST_PX + LARGEST_PX) / 2, SMALLEST_PX]
    assert [spot.point.room for spot in picture.moved] == ["big"]
    assert trail_rows(picture)[0]["coords"] == [[0.0, 0.0], [0.2, 0.0]]
    assert [row[5] for row in disc_rows(picture)] == ["big", "mid", "none"]
    assert ring_rows(picture.spots[:1])[0]["symbolSize"] > LARGEST_PX


def test_rooms_are_found_by_what_one_knows_of_them() -> None:
    picture = Picture("category")
    picture.update(drawn(point("r1", title="Late LO-FI"), point("r2", streamer="mangofox"), point("r3")), {})
    assert [spot.point.room for spot in found(picture.spots, " lo-fi ")] == ["r1"]
    assert [spot.point.room for spot in found(picture.spots, "MANGO")] == ["r2"]
    assert len(found(picture.spots, "chess")) == 3
    assert found(picture.spots, "  ") == []
