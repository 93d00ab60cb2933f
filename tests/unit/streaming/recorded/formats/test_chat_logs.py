"""Logs of chat-downloader, justlog and Chatterino have their messages, and cut ones a clear word."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streaming.errors import InputFileError, TidecastError
from streaming.recorded.formats.chat_lines import NO_MESSAGE
from streaming.recorded.formats.known import FORMATS
from streaming.recorded.recording import Recording
from tests.unit.streaming.recorded.formats.rows import read, said, taken, write

T = 1_739_751_496_177

ITEMS = [
    {
        "message_id": "a", "timestamp": T * 1_000 + 250, "time_in_seconds": 1.5, "time_text": "0:01",
        "author": {"id": "12345", "name": "ana", "display_name": "Ana", "badges": [{"name": "subscriber"}]},
        "message": "hi 😂 Kappa", "message_type": "text_message", "emotes": [{"id": "25", "locations": ["5-9"]}],
    },
    {
        "message_id": "b", "timestamp": T * 1_000 + 1_000_000, "action_type": "add_chat_item", "money": {"amount": 5.0},
        "author": {"id": "UCx", "name": "Bob"}, "message_type": "paid_message", "time_in_seconds": 2.5,
    },
    {
        "message_id": "b", "timestamp": T * 1_000 + 1_000_000, "action_type": "add_live_chat_ticker_item",
        "author": {"id": "UCx", "name": "Bob"}, "message_type": "ticker_paid_message_item", "message": "again",
    },
    {"timestamp": T * 1_000, "message_type": "viewer_engagement_message", "message": "Welcome to live chat!"},
    {"timestamp": T * 1_000, "message_type": "ban_user", "author": {"name": "carl"}, "ban_duration": 600},
    {"timestamp": T * 1_000 + 2_000_000, "author": {"name": "carl"}, "message": "bye", "message_type": "text_message"},
]  # fmt: skip
OF_ITEMS = [(T, "show", "12345", "hi 😂 Kappa"), (T + 1000, "show", "UCx", ""), (T + 2000, "show", "carl", "bye")]

RAW = (
    "@badge-info=;badges=;color=#FF0000;display-name=Ana;id=x;room-id=1;tmi-sent-ts=1739751496177;user-id=5 "
    ":ana!ana@ana.tmi.twitch.tv PRIVMSG #show :hello: there 草\r\n"
    "@ban-duration=600;room-id=1;tmi-sent-ts=1739751497000 :tmi.twitch.tv CLEARCHAT #show :bob\n"
    "@msg-id=resub;tmi-sent-ts=1739751498000 :tmi.twitch.tv USERNOTICE #show :nice\n"
    "@tmi-sent-ts=1739751499000 :bob!bob@bob.tmi.twitch.tv PRIVMSG #show :\x01ACTION dances\x01\n"
)
OF_RAW = [(T, "show", "ana", "hello: there 草"), (1_739_751_499_000, "show", "bob", "\x01ACTION dances\x01")]

TEXT = (
    "[2025-02-17 00:18:16] #show ana: hi: there\n"
    "[2025-02-17 00:18:17] #show bob has been timed out for 600 seconds\n"
    "[2025-02-7 00:18:16] #show bob: a day of one digit\n"
)

JUSTLOG = {
    "messages": [
        {
            "text": "hi", "username": "ana", "displayName": "Ana", "channel": "show", "type": 1, "raw": "", "id": "x",
            "timestamp": "2025-02-17T00:18:16Z", "tags": {"tmi-sent-ts": "1739751496177"},
        },
        {
            "text": "bob has been banned", "username": "bob", "displayName": "", "channel": "show", "type": 2,
            "raw": "", "timestamp": "2025-02-17T00:18:17Z", "tags": {},
        },
        {"text": "x", "username": "bob", "displayName": "Bob", "channel": "show", "timestamp": "2025-02-17T00:18:18Z"},
    ]
}  # fmt: skip
OF_JUSTLOG = [(T, "show", "ana", "hi"), (1_739_751_498_000, "show", "bob", "x")]

CHATTERINO = (
    "# Start logging at 2025-02-16 23:59:50 CET\n"
    "[23:59:58]  ana: hi: there\n"
    "[23:59:59] bob: one blank\n"
    "[00:00:01]  ana: after midnight\n"
    "[00:00:02] bob has been timed out for 10s.\n"
    "[00:00:03] ユーザ yuza: 草\n"
    "# Stop logging at 2025-02-17 00:00:05CET\n"
    "# Start logging at 2025-02-17 12:00:00 CET\n"
    "[12:00:01]  ana: next\n"
)
OF_CHATTERINO = [
    (1_739_746_798_000, "show", "ana", "hi: there"),
    (1_739_746_799_000, "show", "bob", "one blank"),
    (1_739_746_801_000, "show", "ana", "after midnight"),
    (1_739_746_803_000, "show", "yuza", "草"),
    (1_739_790_001_000, "show", "ana", "next"),
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("show.json", json.dumps(ITEMS, sort_keys=True)),
        ("show.json", json.dumps(ITEMS, sort_keys=True, indent=4)),
        ("show.json", json.dumps(ITEMS, ensure_ascii=False)),
        ("show.jsonl", "".join(json.dumps(item) + "\n" for item in ITEMS)),
        ("show.txt", "".join(json.dumps(item) + "\n" for item in ITEMS)),
    ],
)
def test_chat_downloader_items_are_messages_once_each(tmp_path: Path, name: str, text: str) -> None:
    found = taken(write(tmp_path / name, text))
    assert found.format_name == "chat-downloader"
    assert [(row["at_ms"], row["channel"], row["viewer"], row["text"]) for row in found.rows] == OF_ITEMS
    assert (found.bad, found.remarks) == ({}, {NO_MESSAGE: 3})


def test_times_of_chat_downloader_keep_their_microseconds(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "show.json", json.dumps(ITEMS)))
    assert next(recording.batches(("at_us",)))["at_us"].tolist()[0] == T * 1_000 + 250


def test_an_item_without_a_time_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "show.json", json.dumps([{**ITEMS[0], "timestamp": None}, ITEMS[-1]]))
    with pytest.raises(InputFileError, match="row 1: the time is empty"):
        read(path)
    assert len(taken(path).rows) == 1


def test_the_channel_is_what_is_given_else_the_name_of_the_file(tmp_path: Path) -> None:
    items = json.dumps(ITEMS[:1])
    for name, channel in (
        ("show-2025-02-17.json", "show"),
        ("#show.json.gz", "show"),
        ("2025-02-17.json", "2025-02-17"),
    ):
        content = gzip.compress(items.encode()) if name.endswith("gz") else items
        assert said(write(tmp_path / name, content))[0][1] == channel
    assert said(write(tmp_path / "x.json", items), channel="given")[0][1] == "given"


@pytest.mark.parametrize("packed", [False, True])
def test_raw_lines_of_justlog_are_messages_with_their_milliseconds(tmp_path: Path, packed: bool) -> None:
    path = write(
        tmp_path / ("channel.txt.gz" if packed else "channel.txt"), gzip.compress(RAW.encode()) if packed else RAW
    )
    found = taken(path)
    assert said(path) == OF_RAW
    assert (found.format_name, found.bad, found.remarks) == ("justlog", {}, {NO_MESSAGE: 2})


def test_text_of_justlog_is_messages_in_utc(tmp_path: Path) -> None:
    path = write(tmp_path / "log.txt", TEXT)
    assert said(path) == [
        (1_739_751_496_000, "show", "ana", "hi: there"),
        (1_738_887_496_000, "show", "bob", "a day of one digit"),
    ]
    assert taken(path).remarks == {NO_MESSAGE: 1}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.json", json.dumps(JUSTLOG)),
        ("log.ndjson", "".join(json.dumps(message) + "\n" for message in JUSTLOG["messages"])),
    ],
)
def test_json_of_justlog_and_rustlog_is_messages(tmp_path: Path, name: str, text: str) -> None:
    found = taken(write(tmp_path / name, text))
    assert (said(tmp_path / name), found.format_name, found.remarks) == (OF_JUSTLOG, "justlog", {NO_MESSAGE: 1})


def test_chatterino_lines_get_their_day_across_midnight_and_restarts(tmp_path: Path) -> None:
    path = write(tmp_path / "show-2025-02-16.log", CHATTERINO)
    found = taken(path)
    assert said(path) == OF_CHATTERINO
    assert (found.format_name, found.bad, found.remarks) == ("chatterino", {}, {NO_MESSAGE: 1})


def test_chatterino_without_its_first_line_goes_by_the_name_and_the_zone_given(tmp_path: Path) -> None:
    rest = CHATTERINO.split("\n", 1)[1]
    path = write(tmp_path / "show-2025-02-16.log", rest)
    assert said(path, zone=ZoneInfo("Europe/Berlin")) == OF_CHATTERINO
    with pytest.raises(InputFileError, match="line 1: nothing says its time zone; give it as --time-zone"):
        read(path)
    with pytest.raises(InputFileError, match="line 1: nothing says of which day it is"):
        read(write(tmp_path / "show.log", rest), zone=ZoneInfo("UTC"))


def test_a_zone_whose_name_is_no_zones_own_has_to_be_given(tmp_path: Path) -> None:
    for name in ("CST", "Central European Standard Time", "IST", ""):
        path = write(tmp_path / "show-2025-02-16.log", CHATTERINO.replace("CET", name))
        said_why = (
            f"line 1: '{name}' is not the name of one time zone" if name else "line 2: nothing says its time zone"
        )
        with pytest.raises(InputFileError, match=f"{said_why}.*--time-zone"):
            read(path)
        assert said(path, zone=ZoneInfo("Europe/Berlin")) == OF_CHATTERINO


@pytest.mark.parametrize(
    ("stamp", "at_ms"),
    [("[11:59:58 pm]", 798_000), ("[23:59]", 740_000), ("[23:59:58.250]", 798_250), ("#show [23:59:58]", 798_000)],
)
def test_other_forms_of_chatterinos_time_are_read(tmp_path: Path, stamp: str, at_ms: int) -> None:
    text = f"# Start logging at 2025-02-16 23:00:00 UTC+1\n{stamp}  ana: hi\n"
    assert said(write(tmp_path / "show.log", text)) == [(1_739_746_000_000 + at_ms, "show", "ana", "hi")]


HOUR = 3_600_000
CHANGES = {  # what the log begins with, its times of day, and hours between the first and each
    "summer ends": ("2025-10-26 02:50:00 CEST", ["02:59:58", "02:00:08", "02:59:58", "03:59:58"], [0, 0, 1, 2]),
    "begun in the hour that comes twice": ("2025-10-26 02:10:00 CET", ["02:20:00", "03:20:00"], [0, 1]),
    "summer begins": ("2025-03-30 01:50:00 CET", ["01:59:58", "03:59:58"], [0, 1]),
    "in America": ("2025-03-09 01:50:00 PST", ["01:59:58", "03:59:58"], [0, 1]),
    "in Australia": ("2025-04-06 02:50:00 AEDT", ["02:59:58", "02:00:08", "03:59:58"], [0, 0, 2]),
    "where no clock changes": ("2025-07-01 01:50:00 EST", ["01:59:58", "02:59:58"], [0, 1]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_log_keeps_its_time_when_clocks_change(tmp_path: Path, name: str) -> None:
    start, times, hours = CHANGES[name]
    text = f"# Start logging at {start}\n" + "".join(f"[{time}]  ana: hi\n" for time in times)
    at = [row["at_ms"] for row in read(write(tmp_path / "show.log", text))]
    assert [round((one - at[0]) / HOUR, 1) for one in at] == hours
    assert at == sorted(at)


def test_a_line_that_is_a_little_late_moves_no_day(tmp_path: Path) -> None:
    text = "# Start logging at 2025-02-17 00:00:05 UTC\n[00:00:10]  a: x\n[23:59:59]  a: late\n[00:00:11]  a: y\n"
    at = [row["at_ms"] for row in read(write(tmp_path / "show.log", text))]
    assert [one - at[0] for one in at] == [0, -11_000, 1_000]
    quiet = "# Start logging at 2025-02-17 00:00:05 UTC\n[00:00:10]  a: x\n[23:30:00]  a: the same day\n"
    at = [row["at_ms"] for row in read(write(tmp_path / "show.log", quiet))]
    assert at[1] - at[0] == 23.5 * HOUR - 10_000


def test_a_log_that_says_no_zone_is_not_taken_for_utc(tmp_path: Path) -> None:
    path = write(tmp_path / "show.log", "# Start logging at 2025-02-17 00:18:16\n[00:18:16]  ana: hi\n")
    with pytest.raises(InputFileError, match="line 2: nothing says its time zone; give it as --time-zone"):
        read(path)
    assert said(path, zone=ZoneInfo("Europe/Berlin"))[0][0] == T - 177 - HOUR


@pytest.mark.parametrize("author", [None, {}, "ana", {"id": "", "name": ""}, {"id": None}])
def test_what_nobody_is_known_to_have_said_is_left_out(tmp_path: Path, author: object) -> None:
    path = write(tmp_path / "show.json", json.dumps([{**ITEMS[0], "author": author}, ITEMS[0]]))
    found = taken(path)
    assert (len(found.rows), found.bad, found.remarks) == (1, {}, {NO_MESSAGE: 1})


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf"), True, "soon", [1], 10**30])
def test_a_time_that_is_none_is_named(tmp_path: Path, timestamp: object) -> None:
    path = write(tmp_path / "show.json", json.dumps([ITEMS[0], {**ITEMS[0], "timestamp": timestamp}]))
    with pytest.raises(InputFileError, match=r"row 2: the time is"):
        read(path)
    assert (len(taken(path).rows), list(taken(path).bad)) == (1, [2])
    assert said(write(path, json.dumps([{**ITEMS[0], "timestamp": str(T * 1_000)}])))[0][0] == T


def test_items_that_begin_long_are_recognised(tmp_path: Path) -> None:
    welcome = {"message_type": "viewer_engagement_message", "message": "w" * 20_000, "timestamp": T * 1_000}
    assert taken(write(tmp_path / "show.json", json.dumps([welcome, ITEMS[0]]))).format_name == "chat-downloader"


def test_what_irc_says_beside_messages_is_left_out(tmp_path: Path) -> None:
    beside = (
        ":tmi.twitch.tv 001 justinfan :Welcome, GLHF!\n:justinfan.tmi 353 justinfan = #show :ana bob\n"
        "PING :tmi.twitch.tv\n:justinfan!j@j JOIN #show\n@emote-only=0 :tmi.twitch.tv ROOMSTATE #show\n"
        "@badges= :ana!ana@ana WHISPER bob :psst\n"
    )
    path = write(tmp_path / "raw.txt", beside + RAW + beside)
    assert said(path) == OF_RAW
    assert (taken(path).bad, taken(path).remarks) == ({}, {NO_MESSAGE: 14})
    cut = write(path, RAW + RAW[:90])
    assert taken(cut).bad == {5: "not a line of justlog"}


def test_when_twitch_sent_a_message_counts_not_when_a_service_received_it(tmp_path: Path) -> None:
    line = "@{} :ana!ana@ana PRIVMSG #show :hi\r\r\n"
    both, one = "rm-received-ts=5;tmi-sent-ts=1739751496177", "historical=1;rm-received-ts=1739751496178"
    assert said(write(tmp_path / "raw.txt", line.format(both) + line.format(one))) == [
        (T, "show", "ana", "hi"),
        (T + 1, "show", "ana", "hi"),
    ]


@pytest.mark.parametrize("text", [json.dumps(JUSTLOG, indent=2), " " + json.dumps(JUSTLOG).replace("{", "{ ", 1)])
def test_json_of_justlog_may_be_indented(tmp_path: Path, text: str) -> None:
    assert said(write(tmp_path / "log.json", text)) == OF_JUSTLOG


SAMPLES = {
    "show.json": json.dumps(ITEMS), "show.jsonl": "".join(json.dumps(item) + "\n" for item in ITEMS),
    "raw.txt": RAW, "text.txt": TEXT, "log.json": json.dumps(JUSTLOG), "show-2025-02-16.log": CHATTERINO,
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_cut_and_garbled_logs_never_end_in_anything_but_a_clear_error(tmp_path: Path, name: str) -> None:
    whole = SAMPLES[name].encode()
    named = [known.name for known in FORMATS]
    for cut in range(1, len(whole), 7):
        for content in (whole[:cut], whole[cut:], whole[:cut] + b"\xff\x00{[" + whole[cut:]):
            path = write(tmp_path / name, content)
            for how in (None, named[cut % len(named)]):
                try:
                    taken(path, format_name=how)
                    read(path, format_name=how)
                except TidecastError as err:
                    assert str(err).startswith(f"{path}: "), err


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gbk", "shift-jis", "euc-kr", "cp1251"])
@pytest.mark.parametrize("name", ["raw.txt", "text.txt", "show-2025-02-16.log", "show.json", "log.json"])
def test_a_log_that_is_not_utf8_is_said(tmp_path: Path, name: str, encoding: str) -> None:
    letters = {
        "latin-1": "café là",
        "cp1252": "“café”",
        "gbk": "中文弹幕",
        "shift-jis": "日本語",
        "euc-kr": "한국어",
        "cp1251": "привет",
    }
    text = SAMPLES[name].replace("\\ud83d\\ude02", "x").replace("草", "x").replace("ユーザ", "x")
    path = write(
        tmp_path / name,
        text.replace("hi", f"{letters[encoding]} hi").replace("hello", letters[encoding] + "o").encode(encoding),
    )
    with pytest.raises(InputFileError, match=r"is not UTF-8"):
        read(path)


def test_a_message_that_is_cut_within_a_letter_is_one(tmp_path: Path) -> None:
    line = "@tmi-sent-ts=1739751496177 :ana!ana@ana PRIVMSG #show :草".encode()
    for cut in (1, 2):
        assert said(write(tmp_path / "raw.txt", line[:-cut] + b"\r\n"))[0][3] == "\ufffd"
    assert said(write(tmp_path / "raw.txt", line + b"\r\n"))[0][3] == "草"


def test_lines_that_are_of_no_log_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.txt", RAW + "what is this\n" + TEXT)
    with pytest.raises(InputFileError, match="line 5: is not a line of justlog: 'what is this'"):
        read(path)
    found = taken(path)
    assert (len(found.rows), found.bad) == (4, {5: "not a line of justlog"})


def test_a_format_that_is_not_known_is_said_with_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.txt", RAW)
    with pytest.raises(InputFileError, match=r"no format 'justlogs'; the formats are parquet, .*justlog, chatterino"):
        read(path, format_name="justlogs")
    with pytest.raises(InputFileError, match=r"not a recording that is known; tried: Parquet, .*Chatterino.*--format"):
        read(write(tmp_path / "letter.txt", "Dear Sir,\nthe stream was good.\n"))
    with pytest.raises(InputFileError, match="cannot be read as Parquet"):
        read(path, format_name="parquet")
    with pytest.raises(InputFileError, match=r"no column room, no column type.*read as justlog"):
        read(path, "rooms")
