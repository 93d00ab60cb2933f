"""Tests of deploy.console.rules.typed_rule: what is typed becomes the request's body."""

from __future__ import annotations

import msgspec
import pytest

from deploy.console.rules.typed_rule import ENDS_S, LISTS, SOON, Kind, TypedRule
from streaming import operator_rule
from tests.unit.deploy.console.console_world import AT_MS
from tidecast_client import RuleBody

TYPED = TypedRule(name="finals", action="boost", kind="category", values=" chess , go,, ", weight=1.5, ends="never")


def test_values_stand_between_commas_and_only_what_counts_for_the_action_is_sent() -> None:
    assert TYPED.body(AT_MS) == RuleBody(action="boost", categories=["chess", "go"], weight=1.5)
    hide = TypedRule(name="r", action="hide", kind="room", values="a", weight=7, place=9, ends="never", reason="calm")
    assert hide.body(AT_MS) == RuleBody(action="hide", rooms=["a"], reason="calm")


def test_a_pin_of_several_values_is_for_as_many_rooms() -> None:
    pin = TypedRule(name="r", action="pin", kind="streamer", values="ana, bo", weight=7, place=3, ends="never")
    assert pin.body(AT_MS) == RuleBody(action="pin", streamers=["ana", "bo"], position=3, most=2)


def test_a_rule_ends_soon_unless_somebody_chooses() -> None:
    plain = TypedRule(name="r", action="hide", kind="room", values="a")
    assert plain.body(AT_MS).ends_at_ms == AT_MS + 1_000 * ENDS_S[SOON] == AT_MS + 3_600_000


@pytest.mark.parametrize("kind", LISTS)
def test_every_kind_and_ending_makes_a_body_that_the_api_takes(kind: Kind) -> None:
    for ends in ENDS_S:
        body = TypedRule(name="r", action="bury", kind=kind, values="x", ends=ends).body(AT_MS)
        taken = msgspec.json.decode(msgspec.json.encode(body), type=operator_rule.RuleBody)
        assert getattr(taken, LISTS[kind]) == ("x",)


def test_an_empty_number_is_left_to_the_api_to_refuse_and_what_is_missing_is_named() -> None:
    for action in ("boost", "pin"):
        empty = TypedRule(name="r", action=action, kind="tag", values="x", weight=None, place=None)  # type: ignore[arg-type]
        with pytest.raises(msgspec.ValidationError, match=r"weight|position"):
            msgspec.json.decode(msgspec.json.encode(empty.body(AT_MS)), type=operator_rule.RuleBody)
    assert TypedRule(name="", action="hide", kind="room", values=" , ").missing == ["a name", "a room"]
    assert TYPED.missing == []
