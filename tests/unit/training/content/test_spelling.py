"""Tests of which spellings are the same label."""

from __future__ import annotations

import unicodedata

import pytest

from training.content.declared_labels import label
from training.content.spelling import category_key, language_key, speaks


@pytest.mark.parametrize(
    "tag",
    [
        "pt",
        "PT",
        "pt-BR",
        "pt_BR",
        "PT_br",
        "pt-Latn-BR",
        " pt ",
        "pt_BR.UTF-8",
        "pt_BR@euro",
        "pt-",
        "pt-u-ca-gregory",
    ],
)
def test_a_language_finds_its_kinds_however_they_are_written(tag: str) -> None:
    assert speaks(language_key(tag), language_key("pt"))
    assert speaks(language_key(tag), language_key("Pt"))


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("pt-BR", "pt_BR.utf8"), ("pt-BR", "pt-Latn-BR"), ("zh-TW", "zh-Hant-TW"), ("zh-Hant", "zh_Hant_TW"),
        ("zh", "zh_TW"), ("sr-Latn", "sr-Latn-RS"), ("sr-RS", "sr_Latn_RS"), ("he", "iw"), ("iw_IL", "he-IL"),
        ("id", "in_ID"), ("no", "nb-NO"), ("nb", "no"), ("fil", "tl"), ("de", "de-x-DE"),
    ],
)  # fmt: skip
def test_a_language_is_found_under_its_old_code_and_with_a_script_between(wanted: str, tag: str) -> None:
    assert speaks(language_key(tag), language_key(wanted))


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("pt-BR", "pt"), ("pt-BR", "pt-PT"), ("zh-TW", "zh-Hant"), ("zh-Hant", "zh-Hans-CN"), ("sr-Latn", "sr-Cyrl"),
        ("nb", "nn"), ("de-DE", "de-x-DE"), ("i", "in"), ("h", "iw"), ("pt-BR-x-a", "pt-BR"),
    ],
)  # fmt: skip
def test_a_kind_of_a_language_finds_no_other_kind(wanted: str, tag: str) -> None:
    assert not speaks(language_key(tag), language_key(wanted))


@pytest.mark.parametrize("tag", ["ptx", "", "en", "x-pt"])
def test_a_language_finds_no_other(tag: str) -> None:
    assert not speaks(language_key(tag), language_key("pt"))
    assert not speaks(language_key("pt"), language_key("pt_BR"))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Pokémon", unicodedata.normalize("NFD", "POKÉMON")),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("Just Chatting", "just chatting "),
        ("한국", unicodedata.normalize("NFD", "한국")),
        ("\u1e9b\u0323", "\u017f\u0323\u0307"),  # canonically equal, and with a letter that folds
    ],
)
def test_a_category_is_the_same_whatever_its_case_and_form(name: str, other: str) -> None:
    assert category_key(name) == category_key(other)
    assert label(name) == label(other)


def test_categories_that_differ_stay_apart() -> None:
    assert len({category_key(name) for name in ("chess", "Chess 2", "check", "é", "e", "")}) == 6
