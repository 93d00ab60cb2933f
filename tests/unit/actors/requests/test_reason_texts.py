"""Tests of the words of reasons: every language has all of them, and the right one is chosen. Never a broker."""

from __future__ import annotations

import string
import tomllib
from typing import get_args

import msgspec
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.recommend.recommender import Query
from actors.recommend.schema import Answer, RankAnswer, RankQuery, ReasonSource
from actors.requests.context import Context
from actors.requests.reason_texts import FOLDER, ReasonLanguages
from tests.unit.actors.replica import Replica, axis

LANGUAGES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(language: str) -> dict[str, str]:
    return tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_there_are_languages() -> None:
    assert {"de", "en", "es"} <= set(LANGUAGES) == set(ReasonLanguages())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_the_keys_and_placeholders_of_the_english_one(language: str) -> None:
    english, texts = read("en"), read(language)
    assert list(texts) == list(english)
    assert {key: placeholders(text) for key, text in texts.items()} == {
        key: placeholders(text) for key, text in english.items()
    }
    assert all(text == text.strip() and text for text in texts.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_source_has_words_that_name_what_it_is_about(language: str) -> None:
    texts = ReasonLanguages().of(language)
    assert texts.language == language
    for source in get_args(ReasonSource):
        assert texts.of(source, "") or source in {"pinned", "boosted", "buried"}, "only operators say these themselves"
        if source in texts.named:
            assert "{x} %s" in texts.of(source, "{x} %s")


def test_the_first_known_language_counts_else_english() -> None:
    languages = ReasonLanguages()
    for wanted, expected in [
        (("de",), "de"), (("de-AT",), "de"), (("DE_ch.UTF-8",), "de"), (("es-419",), "es"), (("xx", "es"), "es"),
        ((None, "", "de"), "de"), (("xx",), "en"), ((), "en"), (("german",), "en"), (("d",), "en"),
    ]:  # fmt: skip
        for _ in range(2):
            assert languages.of(*wanted).language == expected, wanted


def test_many_spellings_are_not_all_remembered() -> None:
    languages = ReasonLanguages()
    for number in range(3_000):
        assert languages.of(f"x{number}").language == "en"
    assert languages.of("de-x-late").language == "de"
    assert len(languages._by_spelling) <= 1_000


def platform() -> Replica:
    replica = Replica()
    for number in range(12):
        replica.room(f"o{number}", title_vector=axis(1), category=f"c{number % 3}", language="en")
    replica.room("x", language="de", title_vector=axis(2), category="Schach")
    replica.viewer("german", "x")
    replica.viewer("english", "o1")
    return replica


def reasons(replica: Replica, viewer: str, **query: object) -> dict[str, str]:
    asked = Query(viewer=viewer, limit=100, **query)  # type: ignore[arg-type]
    items = {item.room: item.reason for item in replica.recommender.recommend(asked).rooms}
    written = msgspec.json.decode(replica.recommender.recommend_json(asked), type=Answer)
    assert {item.room: item.reason for item in written.rooms} == items
    return items


def test_reasons_are_in_the_language_asked_for_then_preferred_then_watched_then_english() -> None:
    replica = platform()
    assert reasons(replica, "english")["o1"] == "you visited streamer of o1 before"
    assert reasons(replica, "german")["x"] == "du siehst Schach"
    assert reasons(replica, "german", reason_language="es")["x"] == "sueles ver Schach"
    assert reasons(replica, "german", reason_language="ja")["x"] == "du siehst Schach"
    assert reasons(replica, "german", context=Context(language="en"))["x"] == "you watch Schach"
    assert "live now" in reasons(replica, "nobody").values()
    assert "jetzt live" in reasons(replica, "nobody", context=Context(language="de-DE")).values()
    assert reasons(replica, "english")["o1"] == "you visited streamer of o1 before"


def test_given_rooms_have_reasons_in_the_language_asked_for() -> None:
    given = GivenRooms(platform().recommender)
    for explain in (False, True):
        query = RankQuery(viewer="german", rooms=("x",), reason_language="es", explain=explain)
        (item,) = msgspec.json.decode(given.rank_json(query), type=RankAnswer).rooms
        assert item.reason == "sueles ver Schach"
