"""What an example knows and what it must not, what became of visits, and examples on disk."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from streaming.errors import ConfigError, TrainingError
from streaming.events import ChatMessage
from streaming.log.topics import CHAT
from streaming.room.window import ChatWindow
from streaming.room.window_config import WindowConfig
from tests.unit.training.examples.played_chat import BASE_MS, Line, Unseen, evening, passed, replay_of
from training.examples import writer
from training.examples.candidate_batches import CandidateSetBuilder, ContentRules
from training.examples.dataset import INDEX, ExampleSet, shard_name
from training.examples.event_stream import from_replay
from training.examples.generator import ExamplePass
from training.examples.room_states import NOTHING
from training.examples.schema import Example, ExamplesConfig
from training.examples.writer import write_recorded
from training.features.features import SERVED
from training.features.visit_kinds import VisitKind
from training.features.visit_sequence import CHATTED

LINES = evening(3, 500)
CUT = next(i for i in range(300, len(LINES)) if LINES[i - 1].at_ms < LINES[i].at_ms)  # what follows is perturbed
SAMPLED = ExamplesConfig(max_rooms=4, share=0.8, seed=3)


def shuffled(lines: Sequence[Line]) -> list[Line]:
    order = np.random.default_rng(1).permutation(len(lines))
    return [Line(at.at_ms, *lines[i][1:]) for at, i in zip(lines, order, strict=True)]


def thinned(lines: Sequence[Line]) -> list[Line]:
    return list(lines[::3])


def renamed(lines: Sequence[Line]) -> list[Line]:
    return [Line(line.at_ms, f"other-{line.channel}", f"other-{line.viewer}", "another text") for line in lines]


def flooded(lines: Sequence[Line]) -> list[Line]:
    return [Line(line.at_ms, "c0", f"bot{i}-{j}", "buy") for i, line in enumerate(lines) for j in range(3)]


def nothing(lines: Sequence[Line]) -> list[Line]:
    return [lines[0]]


def bytes_of(example: Example) -> list[object]:
    """Everything in it, arrays as bytes."""
    past = example.past
    arrays = [example.room_N, example.segment_N, example.title_N, example.shown_N, example.log_q_N, example.features_NF]
    arrays.append(example.past_text_T3)
    if past is not None:
        arrays += [past.action_V, past.dwell_s_V, past.gap_s_V, past.since_same_s_V]
    plain = [example.at_ms, example.viewer, example.kind, example.entered, example.outside]
    return [*plain, *(array.tobytes() for array in arrays), None if past is None else past.visits]


Passed = tuple[ExamplePass, list[Example]]


@pytest.fixture(scope="module", params=[ExamplesConfig(), SAMPLED], ids=["all", "sampled"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExamplesConfig, Passed]:
    return request.param, passed(tmp_path_factory.mktemp("chat"), LINES, request.param)


@pytest.mark.parametrize("perturb", [shuffled, thinned, renamed, flooded, nothing])
def test_what_happens_after_a_time_changes_no_example_before_it(
    tmp_path: Path, perturb: Callable[[Sequence[Line]], list[Line]], undisturbed: tuple[ExamplesConfig, Passed]
) -> None:
    cut_ms = LINES[CUT].at_ms
    config, (before, original) = undisturbed
    after, perturbed = passed(tmp_path, [*LINES[:CUT], *perturb(LINES[CUT:])], config)
    kept = [example for example in original if example.at_ms < cut_ms]
    assert len(kept) > 100
    again = [example for example in perturbed if example.at_ms < cut_ms]
    assert [bytes_of(example) for example in again] == [bytes_of(example) for example in kept]
    rows = [row for example in kept for row in (*example.segment_N, *example.past_text_T3[:, 1]) if row != NOTHING]
    assert rows
    assert [before.rooms.texts[row] for row in rows] == [after.rooms.texts[row] for row in rows]


def test_the_perturbation_is_seen_after_the_time(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    _, original = passed(tmp_path, LINES)
    _, perturbed = passed(tmp_path, [*LINES[:CUT], *shuffled(LINES[CUT:])])
    assert [bytes_of(example) for example in original] != [bytes_of(example) for example in perturbed]


def test_what_happens_in_the_same_millisecond_is_not_seen(tmp_path: Path) -> None:
    first = [Line(BASE_MS + 1_000 * i, "ab"[i % 2], f"v{i}", "hi") for i in range(6)]
    last = Line(BASE_MS + 9_000, "a", "w", "hi")
    _, alone = passed(tmp_path, [*first, last])
    _, among = passed(tmp_path, [*first, Line(last.at_ms, "a", "x", "hi"), Line(last.at_ms, "b", "w", "yo"), last])
    assert among[-1].viewer == "w"
    assert alone[-1].features_NF.tobytes() == among[-1].features_NF.tobytes()


def said(*lines: tuple[float, str, str]) -> list[Line]:
    return [
        Line(BASE_MS + int(at_s * 1_000), channel, viewer, f"text {i}")
        for i, (at_s, channel, viewer) in enumerate(lines)
    ]


def test_past_visits_and_what_became_of_visits(tmp_path: Path) -> None:
    lines = said(
        (0, "a", "v"), (10, "a", "v"), (30, "b", "v"), (40, "a", "v"), (41, "c", "w"), (2_000, "b", "v"),
        (2_001, "c", "x"),
    )  # fmt: skip
    passing, examples = passed(tmp_path, lines)
    outcomes = passing.outcomes()
    mine = [number for number, example in enumerate(examples) if example.viewer == "v"]
    assert [examples[number].kind for number in mine] == [
        VisitKind.COLD,
        VisitKind.NEW,
        VisitKind.REPEAT,
        VisitKind.REPEAT,
    ]
    assert outcomes.stay_s_V[mine].tolist()[:2] == [30, 10]
    assert np.isnan(outcomes.stay_s_V[mine][2:]).all()  # silent for more than half an hour; and the last
    assert outcomes.heard_s_V[mine].tolist() == [10, 0, 0, 0]
    assert outcomes.acts_V[mine].tolist() == [1, 0, 0, 0]
    past = examples[mine[-1]].past
    assert past is not None
    assert [visit.streamer for visit in past.visits] == ["a", "b", "a"]
    assert past.action_V.tolist() == [CHATTED] * 3
    assert past.dwell_s_V.tolist() == [10, 0, 0]
    assert past.gap_s_V.tolist() == [30, 10, 1_960]
    assert past.since_same_s_V.tolist() == [-1, -1, 40]
    streamers = passing.rooms.streamers
    assert [streamers[room] for room in examples[mine[-1]].past_text_T3[:, 0]] == ["a", "b", "a"]


def test_rooms_live_are_those_heard_in_five_minutes_and_the_one_entered(tmp_path: Path) -> None:
    lines = said((0, "a", "v"), (0.5, "b", "v"), (300.5, "c", "w"), (301, "a", "x"))
    passing, examples = passed(tmp_path, lines)
    streamers = passing.rooms.streamers
    assert [sorted(streamers[room] for room in example.room_N) for example in examples] == [
        ["a"], ["a", "b"], ["b", "c"], ["a", "c"],
    ]  # fmt: skip
    assert [example.outside for example in examples] == [True, True, True, True]
    assert streamers[examples[2].room_N[examples[2].entered]] == "c"


def test_two_rooms_that_a_viewer_visits_make_a_pair(tmp_path: Path) -> None:
    passing, _ = passed(tmp_path, said((0, "a", "v"), (5, "b", "v"), (9, "a", "v"), (10, "b", "w"), (90_000, "c", "v")))
    streamers = passing.rooms.streamers
    pairs = [(streamers[pair.before], streamers[pair.room], pair.gap_s) for pair in passing.covisits]
    assert pairs == [("a", "b", 5), ("b", "a", 4)]


def test_texts_are_those_that_a_workers_window_closes(tmp_path: Path) -> None:
    replay = replay_of(tmp_path, LINES)
    passing = ExamplePass(ExamplesConfig(), chat_alone=True)
    list(passing.examples(from_replay(replay), Unseen()))
    windows: defaultdict[str, ChatWindow] = defaultdict(lambda: ChatWindow(WindowConfig()))
    for offset, (at_ms, topic, record) in enumerate(replay.records()):
        if topic == CHAT and isinstance(record, ChatMessage):  # one at a time, as a log may bring them
            windows[record.room].add(record.viewer, record.text, at_ms, offset, at_ms)
    expected: Counter[tuple[str, int, int]] = Counter()
    for room, window in windows.items():
        window.expire(window.head_ms + 100_000)
        expected.update((room, closed.index, closed.hash) for closed in window.closed if closed.text)
    rooms = list(passing.rooms.numbers)
    found = Counter((rooms[text.room], text.segment, text.hash) for text in passing.rooms.texts)
    late = {text for text in expected if text[1] * 30_000 >= LINES[-1].at_ms - 150_000}
    assert len(expected) > 100
    assert found - expected == Counter()
    assert set(expected - found) <= late  # segments that were still open at the end
    assert {text.in_mean for text in passing.rooms.texts} == {True, False}


def test_a_sample_of_the_rooms_holds_the_one_entered_and_says_how_likely_the_others_were(tmp_path: Path) -> None:
    _, whole = passed(tmp_path, LINES)
    _, sampled = passed(tmp_path, LINES, ExamplesConfig(max_rooms=3))
    cut_down = 0
    for example, part in zip(whole, sampled, strict=True):
        N = len(example.room_N)
        assert part.room_N[part.entered] == example.room_N[example.entered]
        rows = [example.room_N.tolist().index(room) for room in part.room_N]
        assert part.features_NF.tobytes() == example.features_NF[rows].tobytes()
        others = np.delete(part.log_q_N, part.entered)
        assert part.log_q_N[part.entered] == 0
        assert len(part.room_N) == min(3, N)
        np.testing.assert_allclose(np.exp(others), 2 / (N - 1) if N > 3 else 1, rtol=1e-6)
        cut_down += N > 3
    assert cut_down > 100


# on disk


def test_what_is_read_is_what_was_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SHARD_EXAMPLES", 64)
    passing, examples = passed(tmp_path, LINES)
    written = write_recorded(replay_of(tmp_path, LINES), tmp_path / "set", ExamplesConfig(), Unseen())
    assert len(written) == len(examples)
    assert len(written.shard_sizes) == -(-len(examples) // 64)
    assert written.features == SERVED
    outcomes, start = passing.outcomes(), 0
    for shard in written.shards():
        rows, visits = np.r_[0, np.cumsum(shard.size_V)], np.r_[0, np.cumsum(shard.past_V)]
        for v in range(len(shard)):
            example, R, P = examples[start + v], slice(*rows[v : v + 2]), slice(*visits[v : v + 2])
            assert shard.at_ms_V[v] == example.at_ms
            assert (shard.entered_V[v], shard.kind_V[v]) == (example.entered, example.kind)
            assert shard.features_RF[R].tobytes() == example.features_NF.tobytes()
            assert shard.room_R[R].tolist() == example.room_N.tolist()
            assert shard.segment_R[R].tolist() == example.segment_N.tolist()
            assert shard.past_room_P[P].tolist() == example.past_text_T3[:, 0].tolist()
            past = example.past.visits if example.past is not None else ()
            assert [written.streamers[number] for number in shard.past_streamer_P[P]] == [one.streamer for one in past]
        np.testing.assert_array_equal(shard.stay_s_V, outcomes.stay_s_V[start : start + len(shard)])
        start += len(shard)
    assert written.rooms == tuple(passing.rooms.numbers)
    assert [written.streamers[number] for number in written.streamer_of_room] == passing.rooms.streamers
    assert written.texts().texts == tuple(text.text for text in passing.rooms.texts)
    assert len(written.covisits().room) == len(passing.covisits)


def test_processes_share_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SHARD_EXAMPLES", 64)
    written = write_recorded(replay_of(tmp_path, LINES), tmp_path / "set", ExamplesConfig(), Unseen())
    parts = [np.concatenate([shard.at_ms_V for shard in written.shards(rank, 2)]) for rank in range(2)]
    assert abs(len(parts[0]) - len(parts[1])) <= 64
    assert sorted(np.concatenate(parts)) == sorted(at_ms for shard in written.shards() for at_ms in shard.at_ms_V)


def test_examples_since_a_time_have_the_past_before_it(tmp_path: Path) -> None:
    since_ms = LINES[CUT].at_ms
    _, whole = passed(tmp_path, LINES)
    _, later = passed(tmp_path, LINES, ExamplesConfig(since_ms=since_ms))
    expected = [bytes_of(example) for example in whole if example.at_ms >= since_ms]
    assert [bytes_of(example) for example in later] == expected


@pytest.mark.parametrize(
    ("lines", "config", "message"),
    [
        (said((0, "a", "v"), (1, "b", "v"), (2, "a", "v")), ExamplesConfig(), "one viewer only"),
        (said((0, "a", "v"), (1, "a", "w"), (2, "a", "x")), ExamplesConfig(), "one streamer only"),
        (said((0, "a", "v"), (1, "b", "w")), ExamplesConfig(since_ms=BASE_MS + 10**9), "none to learn from"),
    ],
    ids=["one viewer", "one room", "too early"],
)
def test_a_recording_that_teaches_nothing_is_refused_and_changes_nothing(
    tmp_path: Path, lines: list[Line], config: ExamplesConfig, message: str
) -> None:
    before = write_recorded(replay_of(tmp_path, LINES), tmp_path / "set", ExamplesConfig(), Unseen())
    with pytest.raises(TrainingError, match=message):
        write_recorded(replay_of(tmp_path, lines), tmp_path / "set", config, Unseen())
    assert len(ExampleSet(tmp_path / "set")) == len(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat.parquet", "set"]


def test_a_pass_that_is_cut_off_leaves_the_examples_that_were_there(tmp_path: Path) -> None:
    before = write_recorded(replay_of(tmp_path, LINES), tmp_path / "set", ExamplesConfig(), Unseen())

    class Stopped(Unseen):
        def passed(self, records: int, examples: int, at_ms: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_recorded(replay_of(tmp_path, LINES[:CUT]), tmp_path / "set", ExamplesConfig(), Stopped())
    assert len(ExampleSet(tmp_path / "set")) == len(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat.parquet", "set"]


def test_a_folder_without_examples_or_with_damaged_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no index\.json, so no examples"):
        ExampleSet(tmp_path)
    written = write_recorded(replay_of(tmp_path, LINES), tmp_path / "set", ExamplesConfig(), Unseen())
    shard = tmp_path / "set" / shard_name(0)
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match=r"shard-00000\.parquet: cannot be read"):
        written.shard(0)
    damaged = bytearray(content)
    damaged[len(damaged) // 3] ^= 0xFF
    shard.write_bytes(bytes(damaged))
    with pytest.raises(TrainingError, match=r"shard-00000\.parquet: cannot be read"):
        written.shard(0)
    index = tmp_path / "set" / INDEX
    index.write_text(json.dumps({**json.loads(index.read_text()), "format": 99}))
    with pytest.raises(TrainingError, match="not examples of format 3"):
        ExampleSet(tmp_path / "set")
    index.write_text("{")
    with pytest.raises(TrainingError, match="cannot be read"):
        ExampleSet(tmp_path / "set")


def test_examples_with_other_features_are_refused(tmp_path: Path) -> None:
    write_recorded(replay_of(tmp_path, LINES[:50]), tmp_path / "set", ExamplesConfig(), Unseen())
    index = tmp_path / "set" / INDEX
    features = [name for name in SERVED if name not in ("audience", "audience_rank")]
    index.write_text(json.dumps({**json.loads(index.read_text()), "features": features}))
    examples = ExampleSet(tmp_path / "set")
    with pytest.raises(TrainingError, match="other features than this build's; make them again"):
        CandidateSetBuilder(examples, np.zeros((0, 8), np.float16), (), ContentRules(0.4, 0.1), leave_s=10.0)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="examples cannot be written"):
        write_recorded(replay_of(tmp_path, LINES[:50]), tmp_path / "file" / "set", ExamplesConfig(), Unseen())


def test_a_configuration_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"examples\.max_rooms is 1"):
        ExamplesConfig(max_rooms=1)
    with pytest.raises(ConfigError, match=r"examples\.share is 0"):
        ExamplesConfig(share=0)


def test_more_rooms_at_once_than_are_held_is_said(tmp_path: Path) -> None:
    lines = said(*((i, f"c{i}", f"v{i}") for i in range(20)))
    with pytest.raises(TrainingError, match="more than 9 rooms at once"):
        passed(tmp_path, lines, ExamplesConfig(max_held=10))


def test_a_pass_counts_what_it_saw(tmp_path: Path) -> None:
    passing, examples = passed(tmp_path, LINES, SAMPLED)
    assert isinstance(passing, ExamplePass)
    assert passing.num_examples == len(examples) < passing.num_visits
    assert 0.7 < len(examples) / passing.num_visits < 0.9


@pytest.mark.parametrize("seed", range(2))
def test_without_texts_of_chat_everything_else_is_the_same(tmp_path: Path, seed: int) -> None:
    lines = evening(seed)
    again = [line for line in lines for _ in range(1 + (line.at_ms % 7 == 0))]  # recorded twice: a duplicate
    passing, examples = passed(tmp_path, again)
    without = ExamplePass(ExamplesConfig(), chat_alone=True, chat_texts=False)
    textless = list(without.examples(from_replay(replay_of(tmp_path, again)), Unseen()))
    assert len(textless) == len(examples) > 300
    assert any((example.segment_N != NOTHING).any() for example in examples)
    for example, one in zip(examples, textless, strict=True):
        assert (one.segment_N == NOTHING).all()
        example.segment_N[:] = NOTHING
        example.past_text_T3[:, 1] = NOTHING
        assert bytes_of(one) == bytes_of(example)
    titles = [text for text in passing.rooms.texts if text.segment < 0]
    assert without.rooms.texts == titles
    assert without.covisits == passing.covisits
