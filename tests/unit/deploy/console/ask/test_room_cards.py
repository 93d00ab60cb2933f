"""Tests of deploy.console.pages.ask.room_cards: what a card says of its room."""

from __future__ import annotations

import msgspec

from deploy.console.ask.steer_effect import Compared, effect
from deploy.console.pages.ask.room_cards import found_cards, plain_cards, steered_cards
from tests.unit.deploy.console.console_world import answer, found, item, receipt, room

NONE: dict[str, bool] = {}


def compared() -> Compared:
    """a falls by two, b stays, c rises, d leaves, x comes."""
    gains = {"c": 8.0, "b": 2.0, "a": -4.0}
    steered = [item(name, 1.0, {"steer": gain}) for name, gain in gains.items()]
    return Compared(answer("v", "a", "b", "c", "d"), msgspec.structs.replace(answer("v"), rooms=[*steered, item("x")]))


def test_the_list_with_a_steer_says_how_far_each_room_has_moved_and_why() -> None:
    both = compared()
    cards = steered_cards(both, effect(both), NONE, picked="b")
    assert [(card["room"], card["rank"], card["move"], card["tone"]) for card in cards] == [
        ("c", 1, "▲2", "up"),
        ("b", 2, "", ""),
        ("a", 3, "▼2", "down"),
        ("x", 4, "new", "new"),
    ]
    assert [card["picked"] for card in cards] == [False, True, False, False]
    assert cards[0]["hint"] == "it was 3 without the steer"
    assert cards[0]["bar"] == {"said": "pull +8.00", "left": "50.0%", "width": "50.0%", "tone": "up", "signed": True}
    assert cards[2]["bar"] == {"said": "pull -4.00", "left": "25.0%", "width": "25.0%", "tone": "down", "signed": True}
    assert cards[3]["bar"] is None, "the answer does not say"


def test_the_list_without_it_says_where_each_room_goes() -> None:
    both = compared()
    cards = plain_cards(both.without, effect(both), NONE)
    assert [(card["move"], card["tone"]) for card in cards] == [
        ("→ 3", "down"),
        ("", ""),
        ("→ 1", "up"),
        ("leaves", "down"),
    ]
    assert all(card["move"] == "" for card in plain_cards(both.without, None, NONE))
    assert not any(card["explained"] for card in cards), "the steer is no term of theirs"


def test_a_found_room_has_its_score_its_reason_and_the_age_of_its_receipt() -> None:
    rooms = found("chess", room("r1"), room("r2"))
    silent = msgspec.structs.replace(rooms.rooms[1], receipt=receipt(segment_end_ms=0), score=-0.2)
    cards = found_cards(msgspec.structs.replace(rooms, rooms=[rooms.rooms[0], silent]), {"r1": True, "r2": False})
    assert cards[0]["bar"] == {"said": "score 0.500", "left": "0.0%", "width": "50.0%", "tone": "", "signed": False}
    assert cards[1]["bar"]["width"] == "0.0%", "a cosine may be below 0"
    assert [card["receipt"] for card in cards] == ["receipt: chat of 2.5 s ago", "receipt: the title alone, 2.5 s ago"]
    assert [(card["liked"], card["disliked"]) for card in cards] == [(True, False), (False, True)]


def test_hostile_text_of_a_card_is_cut_and_on_one_line() -> None:
    rooms = found("x", room("r" * 300, title="a\u202eb\n" + "w" * 900))
    card = found_cards(rooms, NONE)[0]
    assert len(card["title"]) <= 160
    assert not set("\u202e\n") & set(card["title"])
    assert len(card["name"]) <= 64
    assert card["room"] == "r" * 300, "the id that is asked with stays whole"
