"""Examples of an archive: rooms that end, what was shown, late events, damage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest

from streaming.archive.file import ArchiveFile, hour_of
from streaming.archive.parquet import save, table_of
from streaming.archive.reader import Archive
from streaming.archive.store import open_store
from streaming.errors import TrainingError
from streaming.events import (
    Action,
    ChatMessage,
    Impression,
    InternalRecord,
    ProducerRecord,
    RoomEnded,
    RoomId,
    RoomStarted,
    Speech,
    ViewerErased,
    ViewerEvent,
    ViewerId,
)
from streaming.log.codec import encode
from streaming.log.log import Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import CHAT, HOUR_MS, IMPRESSIONS, ROOM_STATES, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.room.activity import ActivityBook
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from streaming.viewer.rules import RULE_ACTIONS
from tests.unit.training.examples.played_chat import Unseen
from training.examples.candidate_batches import left_at_once
from training.examples.dataset import ExampleSet, joined
from training.examples.event_stream import StreamRecord, from_archive
from training.examples.generator import ExamplePass
from training.examples.outcomes import OutcomeTracker
from training.examples.schema import Example, ExamplesConfig
from training.examples.snapshot import snapshot_at
from training.examples.writer import write_archived, write_examples
from training.features.features import SERVED
from training.features.visit_kinds import VisitKind

START_MS = 480_000 * HOUR_MS
Sent = tuple[float, str, ProducerRecord | InternalRecord]  # append time in seconds, topic, record


def started(at_s: float, room: str, title: str = "a title") -> Sent:
    return at_s, ROOMS, RoomStarted(room=room, streamer=f"of {room}", at_ms=ms(at_s), title=title)


def ended(at_s: float, room: str) -> Sent:
    return at_s, ROOMS, RoomEnded(room=room, at_ms=ms(at_s))


def did(at_s: float, viewer: str, action: Action, room: str, appended_s: float | None = None) -> Sent:
    event = ViewerEvent(viewer=viewer, room=room, streamer=f"of {room}", action=action, at_ms=ms(at_s))
    return at_s if appended_s is None else appended_s, VIEWER_EVENTS, event


def chatted(at_s: float, room: str, text: str) -> Sent:
    return at_s, CHAT, ChatMessage(room=room, viewer="someone", text=text, at_ms=ms(at_s))


def spoken(at_s: float, room: str, text: str) -> Sent:
    return at_s, CHAT, Speech(room=room, text=text, at_ms=ms(at_s))


def shown(at_s: float, viewer: str, *rooms: str, steered: bool = False) -> Sent:
    impression = Impression(
        request_id="q",
        viewer=ViewerId(viewer),
        rooms=tuple(RoomId(room) for room in rooms),
        scores=(1.0,) * len(rooms),
        propensities=(1.0,) * len(rooms),
        model_version="v0",
        at_ms=ms(at_s),
        steered=steered,
    )
    return at_s, IMPRESSIONS, impression


def ms(at_s: float) -> int:
    return START_MS + int(at_s * 1_000)


def archived(folder: Path, sent: Sequence[Sent]) -> Archive:
    """As the Archiver would have written it, a file a topic."""
    store = open_store(str(folder))
    for topic in dict.fromkeys(topic for _, topic, _ in sent):
        records = [
            MemoryRecord(topic, 0, offset, ms(at_s), _key(record), encode(record))
            for offset, (at_s, _, record) in enumerate(one for one in sent if one[1] == topic)
        ]
        if records:
            file = ArchiveFile(Partition(topic, 0), hour_of(START_MS), 0, len(records) - 1)
            save(store, file, table_of(records))
    return Archive(store)


def _key(record: ProducerRecord | InternalRecord) -> bytes:
    return str(getattr(record, "viewer", None) or getattr(record, "room", "")).encode()


def passed(folder: Path, sent: Sequence[Sent]) -> tuple[ExamplePass, list[Example]]:
    passing = ExamplePass(ExamplesConfig(), chat_alone=False)
    return passing, list(passing.examples(from_archive(archived(folder, sent)), Unseen()))


def rooms_of(passing: ExamplePass, example: Example) -> list[str]:
    names = list(passing.rooms.numbers)
    return [names[room] for room in example.room_N]


def test_live_are_rooms_that_started_and_have_not_ended(tmp_path: Path) -> None:
    passing, examples = passed(
        tmp_path,
        [
            started(0, "a"), started(0, "b"), started(0, "c"), did(10, "v", "enter", "a"), ended(20, "c"),
            did(30, "w", "enter", "b"), did(800, "w", "watch", "b"), did(1_000, "x", "enter", "b"),
        ],
    )  # fmt: skip
    assert [rooms_of(passing, example) for example in examples] == [["a", "b", "c"], ["a", "b"], ["b"]]
    assert not any(example.outside for example in examples)
    assert [example.kind for example in examples] == [VisitKind.COLD] * 3


def test_a_room_that_nobody_knew_is_a_surprise(tmp_path: Path) -> None:
    passing, examples = passed(tmp_path, [started(0, "a"), did(1, "v", "enter", "b"), did(2, "w", "enter", "a")])
    assert [(example.outside, rooms_of(passing, example)) for example in examples] == [
        (True, ["b", "a"]), (False, ["a"]),
    ]  # fmt: skip


def test_what_was_shown_lately_and_not_entered_is_marked(tmp_path: Path) -> None:
    passing, examples = passed(
        tmp_path,
        [
            *(started(0, room) for room in "abc"), shown(5, "v", "a", "b", "gone"), did(10, "v", "enter", "b"),
            shown(10.5, "w", "a", steered=True),  # what somebody asked for is not what they passed over
            did(11, "w", "enter", "b"), did(700, "v", "enter", "c"),
        ],
    )  # fmt: skip
    marked = [dict(zip(rooms_of(passing, one), one.shown_N.tolist(), strict=True)) for one in examples]
    assert marked[0] == {"a": True, "b": False, "c": False}
    assert not any(marked[1].values())
    assert not any(marked[2].values())  # too long ago


def test_said_leaves_end_a_stay_and_acts_are_counted(tmp_path: Path) -> None:
    passing, _ = passed(
        tmp_path,
        [
            started(0, "a"), started(0, "b"), did(10, "v", "enter", "a"), did(40, "v", "watch", "a"),
            did(50, "v", "like", "a"), did(55, "v", "chat", "a"), did(70, "v", "leave", "a"),
            did(80, "v", "enter", "b"), did(90, "w", "gift", "b"), did(95, "x", "like", "b"),
        ],
    )  # fmt: skip
    outcomes = passing.outcomes()
    assert outcomes.stay_s_V[0] == 60
    assert outcomes.heard_s_V.tolist() == [45, 0, 0]
    assert outcomes.acts_V.tolist() == [2, 0, 1]


def left(folder: Path, sent: Sequence[Sent], leave_s: float = 10.0) -> list[float | None]:
    """Of each example, whether its viewer left at once; None where nobody knows."""
    stream = from_archive(archived(folder / "archive", sent))
    passing = ExamplePass(ExamplesConfig(), chat_alone=False)
    examples = write_examples(stream, passing, folder / "examples", Unseen())
    left_V = left_at_once(joined([*examples.shards()]), leave_s)
    return [None if np.isnan(one) else one for one in left_V.tolist()]


def test_who_leaves_within_the_seconds_left_at_once(tmp_path: Path) -> None:
    sent = [
        started(0, "a"), started(0, "b"),
        did(10, "t", "enter", "a"), did(14, "t", "leave", "a"),  # said so
        did(20, "u", "enter", "a"), did(30, "u", "enter", "b"),  # went elsewhere, just in time; and is there still
        did(40, "v", "enter", "a"), did(51, "v", "leave", "a"),  # too late
        did(60, "w", "enter", "a"), did(62, "w", "chat", "a"),  # silent from then on
        did(70, "x", "enter", "a"), did(90, "x", "watch", "a"), did(92, "u", "watch", "b"),  # still there
    ]  # fmt: skip
    assert left(tmp_path / "ten", sent) == [1, 1, 0, 0, None, 0]
    assert left(tmp_path / "five", sent, 5.0) == [1, 0, 0, 0, None, 0]
    assert left(tmp_path / "minute", sent, 60.0) == [1, 1, 0, None, None, None]


def test_where_the_room_or_the_log_ends_nobody_left_at_once(tmp_path: Path) -> None:
    sent = [
        started(0, "a"), started(0, "b"), started(0, "c"),
        did(10, "t", "enter", "a"), did(11, "t", "leave", "a"),  # long before the end
        did(25, "u", "enter", "a"), did(30, "u", "leave", "a"),  # it ended 5 s after they came
        did(26, "v", "enter", "a"), did(28, "v", "enter", "b"),  # left by themselves, but of others it is not known
        ended(30, "a"),
        did(60, "x", "enter", "b"), did(63, "x", "leave", "b"),  # the log ends 5 s after
        did(61, "y", "enter", "c"), did(65, "v", "watch", "b"),
    ]  # fmt: skip
    assert left(tmp_path, sorted(sent, key=lambda one: one[0])) == [1, None, None, 0, None, None]


def test_a_room_that_ends_after_the_outcomes_were_parted_changes_none_before(tmp_path: Path) -> None:
    sent = [did(0, "v", "enter", "a"), did(4, "w", "enter", "b"), did(6, "w", "watch", "b"), did(7, "x", "enter", "b")]
    for name, more in (("plain", [did(20, "y", "enter", "b")]), ("ended", [ended(9, "a"), did(20, "y", "enter", "b")])):
        tracker = OutcomeTracker(1_800_000, known_by_act=False)
        for number, (_, _, record) in enumerate(sent):
            assert isinstance(record, ViewerEvent)
            if record.action == "enter":
                tracker.begin(record, min(number, 2))
            else:
                tracker.follow(record)
        tracker.part()
        for _, _, record in more:
            if isinstance(record, RoomEnded):
                tracker.end_room(record.room, record.at_ms)
            elif isinstance(record, ViewerEvent):
                tracker.begin(record, 3)
        assert tracker.outcomes().seen_s_V.tolist() == [7, 3, 0, 0], name


def test_what_viewers_demand_begins_no_visit_and_changes_no_example_or_outcome(tmp_path: Path) -> None:
    sent = [
        started(0, "a"), started(0, "b"), did(10, "v", "enter", "a"), did(40, "v", "watch", "a"),
        did(1_000, "v", "enter", "b"), did(1_100, "w", "enter", "a"),
    ]  # fmt: skip
    demands = [
        did(at_s, viewer, action, room)
        for at_s, room in ((5, "b"), (39.5, "a"), (60, "a"), (1_001, "b"), (1_099, "a"))
        for viewer in "vw"
        for action in sorted(RULE_ACTIONS)
    ]
    (plain, examples), (among, same) = (
        passed(tmp_path / name, one)
        for name, one in (("plain", sent), ("among", sorted(sent + demands, key=lambda one: one[0])))
    )
    assert len(examples) == 3
    assert [example.features_NF.tobytes() for example in same] == [one.features_NF.tobytes() for one in examples]
    assert [example.kind for example in same] == [example.kind for example in examples]
    for name in ("stay_s_V", "heard_s_V", "acts_V"):
        np.testing.assert_array_equal(getattr(among.outcomes(), name), getattr(plain.outcomes(), name))


def test_a_viewer_who_is_forgotten_is_a_cold_start_viewer_afterwards(tmp_path: Path) -> None:
    erasure = 30, VIEWER_EVENTS, ViewerErased(viewer="v", at_ms=ms(30))
    for sent, kind in (([], VisitKind.REPEAT), ([erasure], VisitKind.COLD)):
        before = [started(0, "a"), did(10, "v", "enter", "a"), did(20, "v", "leave", "a")]
        stream = [
            StreamRecord(ms(at_s), topic, offset, record)
            for offset, (at_s, topic, record) in enumerate([*before, *sent, did(9_000, "v", "enter", "a")])
        ]
        passing = ExamplePass(ExamplesConfig(), chat_alone=False)
        *_, last = passing.examples(iter(stream), Unseen())
        assert last.kind == kind


def test_an_erased_viewer_is_in_no_example_even_before_the_archive_is_emptied(tmp_path: Path) -> None:
    sent = [started(0, "a"), started(0, "b")]
    for viewer, at_s in (("v", 10), ("w", 12)):
        sent += [did(at_s, viewer, "enter", "a"), did(at_s + 20, viewer, "enter", "b"), shown(at_s, viewer, "a")]
        aggregate = ProfileAggregate(ViewerId(viewer), ProfileConfig())
        event = ViewerEvent(viewer=viewer, room="a", streamer="of a", action="enter", at_ms=ms(at_s))
        aggregate.apply(event, ms(at_s), ActivityBook())
        sent.append((at_s + 1, VIEWER_PROFILES, aggregate.profile()))
    erased = 500, VIEWER_EVENTS, ViewerErased(viewer="v", at_ms=ms(500))
    late = did(400, "v", "enter", "b", appended_s=600)
    later = did(700, "v", "enter", "a")
    stream = sorted([*sent, erased, late, later], key=lambda one: one[0])
    _, examples = passed(tmp_path, stream)
    assert [(one.viewer, one.at_ms) for one in examples] == [("w", ms(12)), ("w", ms(32)), ("v", ms(700))]
    assert examples[-1].kind == VisitKind.COLD
    assert set(snapshot_at(Archive(open_store(str(tmp_path))), ms(100)).profiles) == {b"w"}


def test_a_visit_that_arrives_long_after_newer_ones_is_history_alone(tmp_path: Path) -> None:
    passing, examples = passed(
        tmp_path,
        [
            started(0, "a"), started(0, "b"), did(200, "w", "enter", "a"), did(100, "v", "enter", "a", appended_s=201),
            did(300, "v", "enter", "b"),
        ],
    )  # fmt: skip
    assert [example.viewer for example in examples] == ["w", "v"]
    assert passing.num_late == 1
    assert examples[1].features_NF[0, SERVED.index("viewer_visits")] == 1


def test_titles_and_segments_are_those_in_force(tmp_path: Path) -> None:
    passing, examples = passed(
        tmp_path,
        [
            started(0, "a", "first"), did(1, "v", "enter", "a"), chatted(2, "a", "hello there"),
            chatted(40, "a", "more"), (41, ROOMS, RoomStarted(room="a", streamer="of a", at_ms=ms(41), title="second")),
            did(42, "w", "enter", "a"),
        ],
    )  # fmt: skip
    texts = passing.rooms.texts
    said = [
        (texts[one.title_N[0]].text, texts[one.segment_N[0]].text if one.segment_N[0] >= 0 else "") for one in examples
    ]
    assert said == [("first", ""), ("second", "hello there")]


def test_an_erasure_leaves_what_the_streamer_said(tmp_path: Path) -> None:
    passing, examples = passed(
        tmp_path,
        [
            started(0, "a"), chatted(1, "a", "a message that goes"), spoken(2, "a", "we open with a gambit"),
            spoken(40, "a", "more"), did(41, "someone", "enter", "a"), did(42, "w", "enter", "a"),
            (50, VIEWER_EVENTS, ViewerErased(viewer="someone", at_ms=ms(50))),
        ],
    )  # fmt: skip
    assert [passing.rooms.texts[one.segment_N[0]].text for one in examples] == ["we open with a gambit"]


def test_an_empty_archive_and_one_without_visits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the archive is empty"):
        write_archived(archived(tmp_path / "a", []), tmp_path / "set", ExamplesConfig(), Unseen())
    with pytest.raises(TrainingError, match="1 records and no visit"):
        write_archived(archived(tmp_path / "b", [started(0, "a")]), tmp_path / "set", ExamplesConfig(), Unseen())
    assert not (tmp_path / "set").exists()


def test_an_archive_whose_files_are_damaged_says_which(tmp_path: Path) -> None:
    sent = [started(0, "a"), started(0, "b"), did(1, "v", "enter", "a"), did(2, "w", "enter", "b")]
    archive = archived(tmp_path / "archive", sent)
    assert len(write_archived(archive, tmp_path / "set", ExamplesConfig(), Unseen())) == 2
    (damaged,) = (tmp_path / "archive" / "topic=viewer-events").rglob("*.parquet")
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.raises(TrainingError, match=r"no visit.*1 files were skipped, the first topic=viewer-events"):
        write_archived(Archive(archive.store), tmp_path / "set", ExamplesConfig(), Unseen())
    assert len(ExampleSet(tmp_path / "set")) == 2


def test_examples_that_begin_later_have_the_past_that_was_served_then(tmp_path: Path) -> None:
    random, sent = Random(4), [started(0, room, f"title of {room}") for room in "abcd"]
    at_s = 1.0
    for _ in range(400):
        at_s += random.choice([0.5, 2, 5, 11])
        viewer, room = f"v{random.randrange(25)}", random.choice("abcd")
        happened = did(at_s, viewer, random.choice(["enter", "enter", "watch", "chat", "like", "leave"]), room)
        sent.append(random.choice([happened, happened, chatted(at_s, room, f"said at {at_s}")]))
    cut_s = sent[200][0]
    before = [one for one in sent if one[0] < cut_s]
    folded = ExamplePass(ExamplesConfig(since_ms=ms(10**6)), chat_alone=False)
    assert not list(folded.examples(from_archive(archived(tmp_path / "before", before)), Unseen()))
    served: list[Sent] = [
        (cut_s - 0.1, VIEWER_PROFILES, viewer.aggregate.profile()) for viewer in folded._viewers.values()
    ]
    for held in folded.rooms._rooms.values():
        state = held.aggregate.state(ms(cut_s))
        assert state is not None
        served.append((cut_s - 0.1, ROOM_STATES, msgspec.structs.replace(state, activity_offset=7)))  # of the log
    archive = archived(tmp_path / "archive", [*sent, *served])
    whole = ExamplePass(ExamplesConfig(since_ms=ms(cut_s)), chat_alone=False)
    later = ExamplePass(ExamplesConfig(), chat_alone=False)
    later.restore(snapshot_at(archive, ms(cut_s)))
    expected = list(whole.examples(from_archive(archive), Unseen()))
    found = list(later.examples(from_archive(archive, ms(cut_s)), Unseen()))
    assert len(found) == len(expected) > 50
    for one, other in zip(expected, found, strict=True):
        by_room = dict(zip(rooms_of(later, other), other.features_NF, strict=True))
        assert (one.at_ms, one.viewer, one.kind) == (other.at_ms, other.viewer, other.kind)
        for room, row_F in zip(rooms_of(whole, one), one.features_NF, strict=True):
            assert row_F.tobytes() == by_room[room].tobytes()
        assert (one.past is None) == (other.past is None)
        if one.past is not None and other.past is not None:
            assert one.past.visits == other.past.visits
    titles = {later.rooms.texts[row].text for one in found for row in one.title_N}
    assert titles == {f"title of {room}" for room in "abcd"}


def test_a_span_of_the_archive_is_enough(tmp_path: Path) -> None:
    sent = [started(0, "a"), started(0, "b"), *(did(10 * i, f"v{i}", "enter", "ab"[i % 2]) for i in range(1, 20))]
    archive = archived(tmp_path / "archive", sent)
    made = write_archived(archive, tmp_path / "set", ExamplesConfig(), Unseen(), until_ms=ms(100))
    assert len(made) == 9
    assert made.span_ms == (ms(10), ms(90) + 1)


def test_who_fell_silent_is_no_audience_and_a_room_time_out_is_the_platforms(tmp_path: Path) -> None:
    happened = [
        started(0, "a"), did(1, "u", "enter", "a"), did(2, "v", "enter", "a"), did(3, "v", "leave", "a"),
        did(4, "w", "enter", "a"), did(1_000, "x", "enter", "a"), did(2_000, "y", "enter", "a"),
    ]  # fmt: skip
    _, examples = passed(tmp_path, happened)
    audience = [float(example.features_NF[example.entered, SERVED.index("audience")]) for example in examples]
    assert audience[2:] == [1, 2, 1], "u and w are gone after half an hour, x is there"
