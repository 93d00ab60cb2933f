"""What is left of a message: laughter and decoration take no room in any script, and what is meaningful stays."""

from __future__ import annotations

import sys

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.record_format.grapheme import graphemes, is_plain, is_simple
from streaming.room.saying import beginning, condensed, normalise, read
from streaming.room.slice import Slice
from streaming.room.text import build_chat_text
from streaming.room.window import ChatWindow
from streaming.room.window_config import WindowConfig

FAMILY = "👨\u200d👩\u200d👧"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
MARKED = "".join(chr(0x300 + number) for number in range(17))
AT_MS = 1_764_000_000_000
PIECES = [
    "a", "b ", "h", "ha", "HA", "1", "5", "0", ".", ",", "/me ", "\x01ACTION", "\x01", "ㅋ", "ㅎ", "哈", "嘿", "ха-",
    "ｗ",
    "😂", "🤣", FAMILY, "👩", "❤", "\u200d", "\ufe0f", "\u200c", "\u034f", "\u2800", "\u3164", "\u0301", "\u0302",
    "\u0303", "ก", "\u0e47", "\u0e48", "क", "\u094d", "ष", "ि", "م", "ی", ENGLAND, "\U0001f3f4", "🇩", "🇪", "\u00ad",
    "\u20e3", "가", "\u1160", "İ", "ß", "Σ", "ς", "é", "the ", "boss ",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    st.lists(st.builds(str.__mul__, st.sampled_from(PIECES), st.integers(1, 40)), max_size=6).map("".join),
)


@pytest.mark.parametrize(
    "laughs",
    [
        ["ㅋㅋ", "ㅋㅋㅋ", "ㅋ" * 40, "ㅋㅋㅋ ㅋㅋㅋㅋ"],
        ["哈哈", "哈" * 7, "哈" * 200],
        ["ха-ха-ха", "хахаха", "ахахахахах", "ХАХАХАХА", "ха" * 50],
        ["ｗｗ", "ｗ" * 9, "www", "WWWWWWW"],
        ["555", "5555555", "5" * 100, "５５５５", "5555+"],
        ["😂", "😂😂", "😂" * 30, "😂 😂😂", "😂\ufe0f😂"],
        ["jaja", "jajaja", "JAJAJAJAJAJA", "ja" * 60],
        ["kk", "kkkkkkkk"],
        ["haha", "hahahaha", "ahahahah", "ha" * 70],
        ["ههه", "هههههههه"],
        ["あははは", "あはははははは"],
        ["草草", "草草草草草草"],
        [FAMILY, FAMILY * 3, FAMILY * 20],
        ["❤️❤️", "❤️" * 30],
        ["!!", "!!!!!!!!"],
        ["哈嘿哈嘿", "哈嘿哈哈嘿嘿嘿哈嘿哈嘿嘿哈哈哈"],
        ["ᄏᄏᄏ", "ᄏ" * 40],  # letters of syllables that never come
        ["हाहाहा", "हा" * 30],
        ["ฮ่าฮ่า", "ฮ่า" * 20],
        ["חחח", "ח" * 30],
        ["χαχα", "χα" * 30],
    ],
    ids=lambda laughs: ascii(laughs[0]),
)
def test_laughter_of_any_length_is_one_short_text_and_no_sentence(laughs: list[str]) -> None:
    sayings = [read(laugh, 200) for laugh in laughs]
    assert len({saying.key for saying in sayings}) == 1
    assert not any(saying.is_sentence for saying in sayings)
    assert max(len(graphemes(saying.text)) for saying in sayings) <= 12


@pytest.mark.parametrize("laugh", ["ha", "ха", "哈", "ㅋㅋ", "ฮ่า", "ח", "हा", "jaja", "KEKW", "草"])
@pytest.mark.parametrize("between", [", ", "! ", " - ", "... ", "~ ", " "])
def test_a_word_again_and_again_is_no_sentence_whatever_stands_between(laugh: str, between: str) -> None:
    for times in range(2, 30):
        assert not read(between.join([laugh] * times), 200).is_sentence
        assert not read(between.join([laugh] * times) + "!!", 200).is_sentence
    assert read(f"{laugh}{between} the boss", 200).is_sentence


@pytest.mark.parametrize("emote", ["KEKW", "PogChamp", "catJAM", "😂😂😂x"])
@pytest.mark.parametrize("times", range(20, 60, 7))
def test_an_emote_until_the_message_is_cut_is_one_word(emote: str, times: int) -> None:
    whole = read(emote, 200)
    for ahead in range(9):
        text = " " * ahead + f"{emote} " * times
        assert read(beginning(text, 200), 200).key == read(text, 200).key == whole.key
    window = ChatWindow(WindowConfig())
    window.add("v", f"{emote} " * times, AT_MS, 0, AT_MS)
    assert window.text() == whole.text


def test_a_message_that_is_cut_loses_only_what_is_repeated() -> None:
    said = "what the boss does next nobody knows"
    assert beginning(said, 12) == "what the bos"
    assert beginning("boss boss boss", 12) == "boss boss"
    assert beginning("boss boss boss", 10) == "boss boss "
    assert beginning(said, 100) == said


@pytest.mark.parametrize("word", ["спасибо", "хахпхвхах", "ευχαριστώ", "תודהרבה", "धन्यवादजी", "շնորհակալ"])
def test_one_word_is_no_sentence_where_words_have_spaces_between(word: str) -> None:
    assert not read(word, 200).is_sentence
    assert read(f"{word} the boss", 200).is_sentence


@pytest.mark.parametrize(
    "text", ["永远的神啊主播", "このゲーム面白い", "สนุกมากเลยนะ", "안녕하세요여러분", "བཀྲ་ཤིས་བདེ་ལེགས་"]
)
def test_a_sentence_of_a_script_without_spaces_is_one(text: str) -> None:
    assert read(text, 200).is_sentence


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("2333333333 好", "23333 好"),
        ("555555555+", "5555+"),
        ("그거 봤어 ㅋㅋㅋㅋㅋㅋㅋㅋ", "그거 봤어 ㅋㅋㅋ"),
        ("soooooo good", "sooo good"),
        ("สนุกมาก555555555", "สนุกมาก5555"),
        ("wait........ what", "wait... what"),
        ("永远的神啊永远的神啊永远的神啊", "永远的神啊"),
        ("LET'S GO LET'S GO LET'S GO", "LET'S GO"),
        ("omegalulomegalulomegalul", "omegalul"),
        ("LUL LUL LUL", "LUL"),
        ("x" * 1_000_000, "xxx"),
    ],
)
def test_what_is_repeated_in_a_row_is_shortened(long: str, short: str) -> None:
    assert normalise(long, 200) == short


@pytest.mark.parametrize("char", ["a", "啊", "ㅋ", "😂", FAMILY, "é", "7", "ก็", "🇩🇪", ".", "क्", "x\u0301"])
@pytest.mark.parametrize("space", ["", " "])
def test_one_character_five_hundred_times_takes_a_tenth_of_the_text_at_most(char: str, space: str) -> None:
    assert len(read((char + space) * 500, 200).text) <= 25


@pytest.mark.parametrize(
    "text",
    [
        "1000000", "1,000,000 gold", "100100100", "0.00001", "9999", "http://a.b/c?d=1111111111",
        "Final Fantasy XIII", "www.example.com", "good balloon committee", "谢谢主播", "오늘 경기 재밌다 각각",
        "ㄹㅇ ㅇㅈ", "می\u200cخواهم", "क्\u200dष नमस्ते", "ക്\u200d", "র\u200d্য", "မြွှေ့", "xin chào các bạn", "اللّٰه", "שָׁלוֹם",
        "བསྒྲུབས", FAMILY, "👍🏽 👍🏿", "❤️ nice", "1️⃣ or 2️⃣", ENGLAND, "🇩🇪🇫🇷", "🏳️\u200d🌈", "/mean", "C++ is fun",
        "action movie tonight", "it's 10:00:00",
    ],
)  # fmt: skip
def test_what_is_meaningful_stays_as_it_is(text: str) -> None:
    assert normalise(text, 200) == text


@pytest.mark.parametrize(
    "suffix",
    ["\u034f", "\u200d", "\u2800", "\u3164", "\ufe0f", "\U000e0000", "\U000e0041\U000e007f", "\u200b", "\u2060",
     "\ufeff", "\u00ad", "\u180e", "\u202e", "\u115f\u1160", "\uffa0", "\u061c", "\u17b4", "\u0301", "\ue000", "\x07",
     "\ufff9"],
    ids=ascii,
)  # fmt: skip
def test_what_cannot_be_seen_tells_no_two_texts_apart(suffix: str) -> None:
    plain = read("KEKW", 200)
    for decorated in (f"KEKW {suffix}", f"KEKW{suffix * 3} ", f"{suffix} KEKW", f"KEKW {suffix} {suffix}"):
        if suffix != "\u0301" or " " in decorated.strip():  # a mark on a letter is seen
            assert read(decorated, 200).key == plain.key


@pytest.mark.parametrize("letter", "hкקก")
def test_a_letter_keeps_a_couple_of_marks(letter: str) -> None:
    towers = normalise("".join(letter + MARKED for _ in range(5)), 200)
    assert regex.search(r"\p{M}{3}", towers) is None
    assert towers.count(letter) in {3, 5}
    assert normalise("ก" + "\u0e47" * 50, 200) == "ก\u0e47"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("\x01ACTION dances\x01", "dances"),
        ("\x01ACTION dances", "dances"),  # its end was cut
        ("\x01ACTION\x01", ""),
        ("/me dances", "dances"),
        ("/ME  dances", "dances"),
        ("/me", ""),
        ("\x01VERSION\x01", "VERSION"),
        ("ACTION dances", "ACTION dances"),
    ],
)
def test_an_action_is_what_is_done(typed: str, said: str) -> None:
    assert normalise(typed, 200) == said


@given(TEXTS)
@settings(max_examples=600, deadline=None)
def test_read_again_a_text_says_the_same(text: str) -> None:
    saying = read(text, 200)
    assert read(saying.text, 200) == saying
    assert len(saying.text) <= 200
    assert read(condensed(beginning(text, 200)), 200) == saying, "what a sample keeps of it"


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_a_text_with_letters_is_never_empty(text: str) -> None:
    letters = [char for char in text[:200] if char.isalpha() and regex.match(r"[\p{DI}\p{C}]", char) is None]
    said = normalise(text, 200)
    if letters and not {"/", "\x01"} & set(text):  # an action may do nothing
        assert any(map(str.isalpha, said))
    assert said.isprintable() or set(said) & {"\u200c", "\u200d"} or ENGLAND[1] in said or "\U000e007f" in said


def test_what_is_quickly_told_to_be_plain_has_nothing_that_joins_marks_or_is_ignored() -> None:
    odd = regex.compile(r"[\p{DI}\p{M}\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{GCB=Prepend}\p{GCB=RI}]")
    plain = "".join(filter(is_plain, map(chr, range(0x80, sys.maxunicode + 1))))
    assert len(plain) > 30_000
    assert odd.search(plain) is None
    assert all(map(is_simple, ["é", "한국", "😂"]))
    assert not any(map(is_simple, [FAMILY, "🇩🇪", "ก็"]))


def test_a_hundred_ways_to_laugh_leave_the_sample_of_a_slice_to_what_is_said() -> None:
    held = Slice(0, max_viewers=8, max_texts=48)
    said = [f"sentence number {number} of many" for number in range(40)]
    laughs = ["ㅋ" * (number + 2) for number in range(180)] + [f"ha{'ha' * number}" for number in range(1, 90)]
    for at, text in enumerate(said + laughs):
        held.noted.append((f"v{at}", text, AT_MS + at))
        if at % 100 == 99:
            held.sketch()
    kept = {text for _, text, _ in held.newest_first()}
    assert set(said) <= kept
    assert len(kept) <= len(said) + 6


@given(st.lists(TEXTS, max_size=30), st.data())
@settings(max_examples=100, deadline=None)
def test_when_a_slice_is_sketched_makes_no_difference(texts: list[str], data: st.DataObject) -> None:
    whole, parts = (Slice(0, max_viewers=8, max_texts=48) for _ in range(2))
    for at, text in enumerate(texts):
        for held in (whole, parts):
            held.noted.append((f"v{at}", text[:200], AT_MS + at))
        if data.draw(st.booleans()):
            parts.sketch()
    assert build_chat_text([whole.newest_first()], 256, 200) == build_chat_text([parts.newest_first()], 256, 200)


@pytest.mark.parametrize("laugh", ["ㅋ", "哈", "😂", "ха-", "ｗ", "5", "ja", "!", FAMILY, "KEKW \u2800\u034f"])
def test_nothing_of_it_crowds_out_what_is_said(laugh: str) -> None:
    window = ChatWindow(WindowConfig())
    said = ["the boss has two phases left", "he should drink a potion now", "what weapon is that anyway"]
    for at, text in enumerate([*said, *(laugh * (2 + number) for number in range(60))]):
        window.add(f"v{at}", text, AT_MS + at, at, AT_MS + at)
    lines = window.text().split("\n")
    assert set(said) <= set(lines)
    assert len(lines) <= 6
