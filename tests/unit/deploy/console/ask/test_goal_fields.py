"""Tests of deploy.console.ask.goal_fields: every goal of the API, in its own words."""

from __future__ import annotations

import msgspec

from actors.requests import goals
from deploy.console.ask.goal_fields import goal_fields
from tidecast_client import Goals


def test_there_is_a_field_for_each_goal_of_the_api_as_it_begins_and_what_it_is_the_worth_of() -> None:
    fields = goal_fields()
    assert [field.name for field in fields] == list(goals.Goals.__struct_fields__)
    assert Goals(**{field.name: field.default for field in fields}) == Goals()
    assert all(field.said for field in fields)
    assert "staying for a minute" in next(field.said for field in fields if field.name == "stay")


def test_what_the_fields_make_is_what_the_api_reads() -> None:
    asked = Goals(**{field.name: 2.0 + at for at, field in enumerate(goal_fields())})
    assert msgspec.structs.asdict(msgspec.json.decode(msgspec.json.encode(asked), type=goals.Goals)) == (
        msgspec.structs.asdict(asked)
    )
