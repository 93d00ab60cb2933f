"""What a visit is, and of which kind."""

from __future__ import annotations

from tests.unit.training.recorded.recorded_chat import Said, chat_of
from training.features.visit_kinds import VisitKind
from training.recorded.visits import kinds

HALF_HOUR_S = 1800


def found(*said: Said) -> list[VisitKind]:
    return [VisitKind(kind) for kind in kinds(chat_of(said, 0))]


def test_first_message_anywhere_is_a_cold_visit_and_the_next_in_the_same_channel_none() -> None:
    assert found(Said(0, "a", "v"), Said(1, "a", "v")) == [VisitKind.COLD, VisitKind.NO_VISIT]


def test_a_message_elsewhere_is_new_and_one_back_again_is_repeat() -> None:
    said = Said(0, "a", "v"), Said(1, "b", "v"), Said(2, "a", "v")
    assert found(*said) == [VisitKind.COLD, VisitKind.NEW, VisitKind.REPEAT]


def test_half_an_hour_of_silence_makes_a_visit_of_the_next_message_and_a_moment_less_does_not() -> None:
    assert found(Said(0, "a", "v"), Said(HALF_HOUR_S, "a", "v")) == [VisitKind.COLD, VisitKind.REPEAT]
    assert found(Said(0, "a", "v"), Said(HALF_HOUR_S - 0.000001, "a", "v")) == [VisitKind.COLD, VisitKind.NO_VISIT]


def test_others_messages_between_do_not_matter() -> None:
    said = Said(0, "a", "v"), Said(1, "b", "w"), Said(2, "a", "v"), Said(3, "a", "w")
    assert found(*said) == [VisitKind.COLD, VisitKind.COLD, VisitKind.NO_VISIT, VisitKind.NEW]


def test_messages_of_the_same_time_keep_the_order_of_their_rows() -> None:
    assert found(Said(0, "a", "v"), Said(0, "b", "v"), Said(0, "b", "v")) == [
        VisitKind.COLD,
        VisitKind.NEW,
        VisitKind.NO_VISIT,
    ]
