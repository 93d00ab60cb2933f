"""The simulated platform: same seed, same bytes; time order; visits that follow the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streaming.errors import ConfigError, InputFileError
from streaming.events import ChatMessage, RoomEnded, RoomId, RoomStarted, RoomUpdated, Speech, ViewerEvent, ViewerId
from streaming.log.codec import encode
from streaming.recorded.playback import Event
from streaming.simulated.audience import Audience
from streaming.simulated.broadcasts import Broadcasts
from streaming.simulated.config import SimulationConfig
from streaming.simulated.draws import WeightedGroups, one_of
from streaming.simulated.population import Population
from streaming.simulated.simulate import Platform
from streaming.simulated.truth import Truth

START_MS = 1_700_000_000_000
BUSY = SimulationConfig(
    rooms=30,
    viewers=300,
    room_lifetime_s=60,
    topic_s=30,
    visit_s=20,
    chat_per_room_s=1,
    raid_share=0.5,
    bot_share=0.2,
    reaction_per_viewer_s=0.05,
    watch_every_s=10,
)


def events(config: SimulationConfig = BUSY, seconds: int = 120) -> list[Event]:
    return list(Platform(config).events(START_MS, START_MS + seconds * 1000))


def test_same_seed_makes_the_same_bytes_and_another_seed_others() -> None:
    assert events(seconds=30) == events(seconds=30)
    other = SimulationConfig(rooms=30, viewers=300, seed=2)
    assert events(other, 10) != events(SimulationConfig(rooms=30, viewers=300), 10)


def test_events_are_in_time_order_and_inside_the_time_asked_for() -> None:
    times = [event.at_ms for event in events()]
    assert times == sorted(times)
    assert times[0] == START_MS
    assert times[-1] < START_MS + 120_000


def test_every_kind_of_event_is_a_record_whose_time_and_key_are_the_events() -> None:
    kinds: Counter[str] = Counter()
    for event in events():
        record = event.record
        assert record.at_ms == event.at_ms
        assert event.key.decode() == (record.viewer if isinstance(record, ViewerEvent) else record.room)
        kinds[record.action if isinstance(record, ViewerEvent) else type(record).__name__] += 1
    actions = {"enter", "leave", "watch", "like", "gift", "follow", "chat"}
    assert set(kinds) == actions | {"RoomStarted", "RoomUpdated", "RoomEnded", "ChatMessage", "Speech"}


def test_templates_write_what_the_codec_would() -> None:
    for event in events(seconds=20):
        assert type(event.record).__name__
        assert Event(event.topic, event.key, encode(event.record), event.at_ms).record == event.record


def test_nothing_happens_in_a_room_before_its_start_or_after_its_end() -> None:
    live: set[str] = set()
    seen: set[str] = set()
    for event in events():
        record = event.record
        if isinstance(record, RoomStarted):
            assert record.room not in seen
            live.add(record.room)
            seen.add(record.room)
        elif isinstance(record, RoomEnded):
            live.remove(record.room)
        elif isinstance(record, RoomUpdated | ChatMessage | Speech) or record.action == "enter":
            assert record.room in live


def test_streamers_who_talk_change_nothing_else() -> None:
    silent = events(replace(BUSY, talking_share=0.0))
    talking = [event for event in events(replace(BUSY, talking_share=0.7)) if not isinstance(event.record, Speech)]
    assert talking == silent


def test_a_share_of_the_streamers_says_a_sentence_on_the_topic_every_five_to_fifteen_seconds() -> None:
    config = replace(BUSY, talking_share=0.4, rooms=60, room_lifetime_s=600, topic_s=10_000)
    platform = Platform(config)
    said: dict[str, list[Speech]] = {}
    rooms: set[str] = set()
    for event in platform.events(START_MS, START_MS + 60_000):
        if isinstance(event.record, Speech):
            said.setdefault(event.record.room, []).append(event.record)
        elif isinstance(event.record, RoomStarted):
            rooms.add(event.record.room)
    assert 0.25 < len(said) / len(rooms) < 0.55
    on_topic = 0
    for room, sentences in said.items():
        pauses_ms = np.diff([sentence.at_ms for sentence in sentences])
        assert ((pauses_ms >= 5_000) & (pauses_ms < 15_000)).all()
        topic = platform.population.topics[platform.truth.broadcasts[RoomId(room)].topic_at(sentences[0].at_ms)]
        words = (*topic.words, topic.name, *topic.names.values())
        on_topic += any(word in sentences[0].text for word in words)
    assert on_topic == len(said)


def test_only_viewers_who_are_in_a_room_act_in_it() -> None:
    room: dict[str, str] = {}
    for event in events():
        record = event.record
        if not isinstance(record, ViewerEvent):
            continue
        if record.action == "enter":
            room[record.viewer] = record.room
        else:
            assert room[record.viewer] == record.room
        if record.action == "leave":
            del room[record.viewer]


def test_shares_together_are_the_whole_and_no_key_is_in_two() -> None:
    whole = events(seconds=40)
    shares = [list(Platform(BUSY, share=i, of=3).events(START_MS, START_MS + 40_000)) for i in range(3)]
    assert Counter(event for share in shares for event in share) == Counter(whole)
    keys = [{event.key for event in share} for share in shares]
    assert not keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]


def short_shares(bored_share: float) -> list[float]:
    """The share of visits of at most 10 s, to rooms that the viewer does not like, and to others."""
    config = replace(BUSY, bored_share=bored_share, visit_s=200, room_lifetime_s=600, topic_s=10_000, noise_share=0.5)
    platform = Platform(config)
    people, entered, until_ms = platform.population, dict[str, tuple[int, str]](), START_MS + 120_000
    visits: dict[bool, list[bool]] = {False: [], True: []}

    def note(viewer: str, at_ms: int) -> None:
        came_ms, room = entered.pop(viewer, (until_ms, ""))
        if came_ms > until_ms - 10_000 or platform.truth.broadcasts[RoomId(room)].ended_at_ms:
            return
        number, broadcast = people.viewers.index(ViewerId(viewer)), platform.truth.broadcasts[RoomId(room)]
        tastes = people.tastes_MT[number][people.taste_weights_MT[number] > 0]
        category = broadcast.topic_at(came_ms) // people.topics_per_category
        liked = category in tastes or broadcast.streamer in people.favourites_MF[number]
        visits[liked].append(at_ms - came_ms <= 10_000)

    for event in platform.events(START_MS, until_ms):
        record = event.record
        if isinstance(record, ViewerEvent) and record.action in {"enter", "leave"}:
            note(record.viewer, record.at_ms)
            if record.action == "enter":
                entered[record.viewer] = record.at_ms, record.room
    for viewer in list(entered):
        note(viewer, until_ms)
    return [float(np.mean(visits[liked])) for liked in (False, True)]


def test_bored_viewers_leave_rooms_about_nothing_that_they_like_within_ten_seconds() -> None:
    unliked, liked = short_shares(0.8)
    assert unliked == pytest.approx(0.8, abs=0.08)
    assert liked < 0.15
    unliked, liked = short_shares(0.0)
    assert unliked < 0.15
    assert liked < 0.15


def test_closing_ends_every_live_room() -> None:
    platform = Platform(BUSY)
    for _ in platform.events(START_MS, START_MS + 90_000):
        pass
    live = set(platform.truth.live(START_MS + 90_000))
    assert live
    assert {event.record.room for event in platform.close()} == live
    assert not platform.truth.live(START_MS + 90_001)


def test_truth_knows_the_rooms_and_their_topics_at_each_time() -> None:
    platform = Platform(BUSY)
    live: set[str] = set()
    for event in platform.events(START_MS, START_MS + 90_000):
        if isinstance(event.record, RoomStarted):
            live.add(event.record.room)
        elif isinstance(event.record, RoomEnded):
            live.discard(event.record.room)
    assert set(platform.truth.live(START_MS + 90_000)) == live
    drifted = [b for b in platform.truth.broadcasts.values() if len({topic for _, topic in b.topics}) > 1]
    assert drifted
    (first_ms, first), (second_ms, second) = drifted[0].topics[:2]
    names = platform.population.topics
    assert platform.truth.topic(drifted[0].room, first_ms) == names[first].name
    assert platform.truth.topic(drifted[0].room, second_ms) == names[second].name


def test_choices_follow_the_affinity_of_the_truth() -> None:
    config = SimulationConfig(rooms=40, viewers=50, categories=3, mixed_share=0.3)
    people = Population(config)
    truth = Truth(people)
    rng = np.random.default_rng(0)
    broadcasts = Broadcasts(people, truth, rng, 0, 1)
    broadcasts.open(START_MS)
    audience = Audience(people, rng, 0, 1)
    moment = truth.at(START_MS)
    for viewer in range(0, 50, 7):
        draws = 20_000
        chosen = audience.choose(np.full(draws, viewer), broadcasts)
        counted = np.bincount(chosen, minlength=config.streamers)[moment.streamers_R] / draws
        expected = moment.affinity(viewer)
        assert expected.sum() == pytest.approx(1.0)
        # Five standard deviations of a share of `draws` draws.
        assert np.all(np.abs(counted - expected) < 5 * np.sqrt(expected * (1 - expected) / draws) + 1e-9)


def test_truth_survives_its_file(tmp_path: Path) -> None:
    platform = Platform(BUSY)
    for _ in platform.events(START_MS, START_MS + 60_000):
        pass
    platform.truth.write(tmp_path / "truth.json")
    read = Truth.read(tmp_path / "truth.json")
    at_ms, viewer = START_MS + 50_000, platform.population.viewers[5]
    assert read.affinity(viewer, at_ms) == platform.truth.affinity(viewer, at_ms)
    assert read.liked_categories(viewer) == platform.truth.liked_categories(viewer)


def test_a_file_that_is_no_truth_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(InputFileError, match=r"no\.json"):
        Truth.read(tmp_path / "no.json")


@pytest.mark.parametrize(
    ("field", "value"), [("rooms", 0), ("streamers", 5), ("categories", 21), ("bot_share", 1.5), ("visit_s", 0.0)]
)
def test_a_setting_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"simulation.{field} is {value}"):
        SimulationConfig(**{field: value})  # type: ignore[arg-type]


def test_groups_draw_members_by_weight_and_say_where_there_are_none() -> None:
    groups = WeightedGroups(np.array([2, 0, 2, 0]), np.array([1.0, 1.0, 3.0, 0.0]), 4)
    drawn = groups.draw(np.array([2, 2, 0, 1, 3]), np.array([0.2, 0.3, 0.999, 0.5, 0.0]))
    assert drawn.tolist() == [0, 2, 1, -1, -1]
    assert one_of(np.array([[0.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), np.array([0.5, 0.0, 0.4])).tolist() == [-1, 1, 0]
