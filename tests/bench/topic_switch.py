"""A room changes its topic: its vector, code and rank 30 s later, by a version that reads content and one without.

    python -m tests.bench.topic_switch [--json] [--rooms N] [--viewers N] [--minutes M] [--minilm]

A simulated platform is archived, and two versions learn from it: as they come, and with the streamers' IDs alone. Then
the chat of a room goes on about something else, at the same times and by the same people, while its title stays. Every
figure compares the room at one moment with itself at that moment had its topic stayed; all else is the same to the bit.
The viewers asked for like the new topic and have never been with the streamer.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.room_embeddings import ModelEmbeddings
from actors.state.table_reader import Tables
from actors.versions.swap import Swapper
from streaming.clock import ManualClock
from streaming.events import ChatMessage, ModelVersion, RoomState, ViewerId, Visit
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import CHAT, HOUR_MS, MODELS, ROOM_STATES, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.recorded.playback import Event
from streaming.room.window_config import WindowConfig
from streaming.simulated.config import SimulationConfig
from streaming.simulated.phrases import Phrasebook
from streaming.simulated.simulate import Platform
from streaming.simulated.truth import ENGLISH
from tests.simulated import AggregatedPlatform, WordEncoder, archive_of
from training.content.encode_missing import Encoder
from training.content.text_encoder import TextEncoder
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_archived
from training.fit.local_fit import fit_version
from training.fit.run import make_run_folder
from training.inference.served_model import Version
from training.model.config import Sides
from training.registry.catalog import key_of
from training.settings import EncoderConfig, TrainingConfig

START_MS = 472_000 * HOUR_MS
AFTER_S = (10, 20, 30)  # the last is one window
SIDES: tuple[Sides, ...] = ("both", "id")
STEADY_MS = 90_000  # a room that is switched has been about one thing for so long
FEWEST_MESSAGES = 3  # in the window after the switch: who says nothing has no new topic
FEWEST_VISITS = 3  # to rooms about the new topic, of a viewer's last ten
VIEWERS_A_ROOM = 5
TRAINING = TrainingConfig(share=0.8, towers_epochs=8, epochs=3, batch=64, rate=0.005)  # a minute on one core


class Quiet:
    """A progress that nobody watches."""

    def passed(self, records: int, examples: int, at_ms: int) -> None: ...

    def encoded(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Case:
    """A room whose topic changes, and viewers who like the new one."""

    room: str
    topic: int
    viewers: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """A room as a replica has it. code: dynamic. ranks: its place in each viewer's answer, from 1."""

    vector_E: np.ndarray
    code_L: tuple[int, ...]
    gate: float
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class Moved:
    """What the change of topic moved, so many seconds after it. cosine: of the vectors with and without it."""

    sides: str
    after_s: int
    rooms: int
    viewers: int
    gate: float
    cosine: float
    codes_changed: float  # share of the rooms
    rank_before: float  # mean, had the topic stayed
    rank: float
    risen: float  # share of the viewers for whom the room rose
    fallen: float


class World:
    """The platform up to the moment of the switch, and both ways that it may go on."""

    def __init__(self, config: SimulationConfig, minutes: float, encoder: Encoder) -> None:
        self.platform, self.moment_ms = Platform(config), START_MS + round(60_000 * minutes)
        everything = self.platform.events(START_MS, self.moment_ms + 1_000 * AFTER_S[-1])
        events = [event for event in everything if self._is_english(event)]
        cut = next(place for place, event in enumerate(events) if event.at_ms >= self.moment_ms)
        self.past, self._next = events[:cut], events[cut:]
        self.stays = AggregatedPlatform(encoder)
        self.stays.apply(self.past)
        self.profiles = dict(self.stays.profiles())
        self.cases = self._cases()
        self.switches = self.stays.copy()
        topics = {case.room.encode(): case.topic for case in self.cases}
        self._switched = [self._about(event, topics) for event in self._next]

    def until(self, after_s: int) -> tuple[dict[str, RoomState], dict[str, RoomState]]:
        """Rooms so long after the moment: as they go on, and as they do with the new topics. In rising order."""
        from_ms, to_ms = (self.moment_ms + 1_000 * second for second in (after_s - 10, after_s))
        for folded, events in ((self.stays, self._next), (self.switches, self._switched)):
            folded.apply([event for event in events if from_ms <= event.at_ms < to_ms])
        return self.stays.states(to_ms), self.switches.states(to_ms)

    def _is_english(self, event: Event) -> bool:
        """The language with most rooms, of eight: the others have few rooms a topic to choose between."""
        return self.platform.truth.broadcasts[event.record.room].language == ENGLISH

    def _cases(self) -> list[Case]:
        """Rooms that live on, stay with their topic and are spoken in, each with the topic that most viewers like."""
        truth, people = self.platform.truth, self.platform.population
        live = set(truth.live(self.moment_ms + 1_000 * AFTER_S[-1]))
        said = Counter(event.key for event in self._next if event.topic == CHAT)
        cases = []
        for broadcast in truth.broadcasts.values():
            since_ms, topic = broadcast.topics[-1]
            spoken = broadcast.language == ENGLISH and said[broadcast.room.encode()] >= FEWEST_MESSAGES
            if not spoken or broadcast.room not in live or since_ms > self.moment_ms - STEADY_MS:
                continue
            likers = self._likers(people.streamers[broadcast.streamer], broadcast.room)
            per = people.topics_per_category
            others = [other for other in likers if other // per != topic // per]
            if others:
                chosen = max(others, key=lambda other: (len(likers[other]), other))
                cases.append(Case(broadcast.room, chosen, tuple(likers[chosen][:VIEWERS_A_ROOM])))
        return cases

    def _likers(self, streamer: str, room: str) -> Mapping[int, list[str]]:
        """Topic → viewers who went to rooms about it time and again, and never were with the streamer."""
        likers: dict[int, list[str]] = {}
        for viewer, profile in self.profiles.items():
            if profile.room == room or any(habit.streamer == streamer for habit in profile.habits):
                continue
            topics = Counter(self._topic(visit) for visit in profile.visits[-10:])
            topic, times = max(topics.items(), key=lambda item: item[1])
            if times >= FEWEST_VISITS and self._likes(viewer, topic):
                likers.setdefault(topic, []).append(viewer)
        return likers

    def _topic(self, visit: Visit) -> int:
        return self.platform.truth.broadcasts[visit.room].topic_at(visit.entered_at_ms)

    def _likes(self, viewer: str, topic: int) -> bool:
        people, index = self.platform.population, self.platform.truth.viewer_index(ViewerId(viewer))
        return topic in people.preferred_topics_MT[index][people.taste_weights_MT[index] > 0]

    def _about(self, event: Event, topics: Mapping[bytes, int]) -> Event:
        """The event; where it is chat of a room that switches, with a text about the new topic."""
        topic = topics.get(event.key) if event.topic == CHAT else None
        if topic is None:
            return event
        people = self.platform.population
        language = self.platform.truth.broadcasts[event.record.room].language
        pool = Phrasebook(people.topics, people.config.seed).pool(topic, language)
        said: ChatMessage = msgspec.structs.replace(event.record, text=pool[event.at_ms % len(pool)])
        return event._replace(value=encode(said))


def learn(world: World, folder: Path, encoder: Encoder, config: TrainingConfig) -> dict[Sides, Version]:
    """A version by what its room tower reads, of the platform's past."""
    archive = archive_of(world.past, folder / "archive")
    run_folder = make_run_folder(
        folder / "run",
        lambda examples: write_archived(archive, examples, ExamplesConfig(share=config.share), Quiet()),
        encoder,
        config,
        window=WindowConfig(),
        title_weight=TablesConfig().title_weight,
        now_ms=world.moment_ms,
        encoding=Quiet(),
    )
    candidate_sets, plan, versions = run_folder.candidate_sets(0, 1), run_folder.plan, {}
    for sides in SIDES:
        larm = dataclasses.replace(plan.fit.model.larm, sides=sides)
        model = dataclasses.replace(plan.fit.model, larm=larm)
        chosen = dataclasses.replace(plan.fit, model=model)
        versions[sides] = Version(
            fit_version(candidate_sets, plan.streamers, run_folder.transitions(), chosen, plan.origin)
        )
    return versions


class Replica:
    """A replica that has read all rooms and viewers, with a version live."""

    def __init__(self, version: Version, states: Sequence[RoomState], world: World, now_ms: int) -> None:
        clock, metrics = ManualClock(now_ms), MemoryMetrics()
        self.tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=4_096)), metrics, clock)
        self.apply(ROOM_STATES, [(state.room, encode(state)) for state in states])
        self.apply(VIEWER_PROFILES, [(viewer, encode(profile)) for viewer, profile in world.profiles.items()])
        record = ModelVersion(name="rooms", version=version.name, path="", state="live", metrics={}, at_ms=0)
        self.apply(MODELS, [(key_of(record).decode(), encode(record))])
        self.recommender = Recommender(self.tables, RecommendConfig(ranked=0), metrics, clock)
        swapper = Swapper(self.tables, lambda _: version, self.recommender.warm, metrics=metrics, clock=clock)
        swapper.turn(threading.Event())

    def apply(self, topic: str, pairs: Sequence[tuple[str, bytes]]) -> None:
        """Takes records in."""
        records = [MemoryRecord(topic, 0, place, 0, key.encode(), value) for place, (key, value) in enumerate(pairs)]
        self.tables.apply(Batch(records={Partition(topic, 0): records}))

    def seen(self, case: Case) -> Seen:
        """The case's room now."""
        rooms = self.tables.rooms
        assert isinstance(rooms.embeddings, ModelEmbeddings)
        row = rooms.embeddings.rooms.take(np.array([rooms.snapshots[case.room].slot]))  # type: ignore[index]
        ranks = []
        for viewer in case.viewers:
            answer = self.recommender.recommend(Query(viewer=viewer, limit=len(rooms)))
            ranks.append(1 + [item.room for item in answer.rooms].index(case.room))
        return Seen(row.vectors_NE[0], tuple(row.dynamic_NL[0].tolist()), float(row.content_gate_N[0]), tuple(ranks))


def measure(world: World, versions: Mapping[Sides, Version]) -> list[Moved]:
    """After each of AFTER_S, by each version: all cases, each alone."""
    found = []
    for after_s in AFTER_S:
        stays, switches = world.until(after_s)
        now_ms = world.moment_ms + 1_000 * after_s
        for sides, version in versions.items():
            before = Replica(version, list(stays.values()), world, now_ms)
            pairs = []
            for case in world.cases:
                states = {**stays, case.room: switches[case.room]}
                pairs.append((before.seen(case), Replica(version, list(states.values()), world, now_ms).seen(case)))
            found.append(_moved(sides, after_s, pairs))
    return found


def _moved(sides: str, after_s: int, pairs: Sequence[tuple[Seen, Seen]]) -> Moved:
    ranks_V2 = np.array([both for before, after in pairs for both in zip(before.ranks, after.ranks, strict=True)])
    return Moved(
        sides,
        after_s,
        len(pairs),
        len(ranks_V2),
        gate=float(np.mean([after.gate for _, after in pairs])),
        cosine=float(np.mean([before.vector_E @ after.vector_E for before, after in pairs])),
        codes_changed=float(np.mean([before.code_L != after.code_L for before, after in pairs])),
        rank_before=float(ranks_V2[:, 0].mean()),
        rank=float(ranks_V2[:, 1].mean()),
        risen=float((ranks_V2[:, 1] < ranks_V2[:, 0]).mean()),
        fallen=float((ranks_V2[:, 1] > ranks_V2[:, 0]).mean()),
    )


def run(config: SimulationConfig, minutes: float, encoder: Encoder, training: TrainingConfig) -> list[Moved]:
    """From the simulation to what moved."""
    world = World(config, minutes, encoder)
    with tempfile.TemporaryDirectory() as folder:
        versions = learn(world, Path(folder), encoder, training)
    return measure(world, versions)


def platform(seed: int, rooms: int, viewers: int) -> SimulationConfig:
    """Viewers who follow what rooms are about, not who streams, and rooms that change it every few minutes."""
    return SimulationConfig(
        seed=seed,
        rooms=rooms,
        viewers=viewers,
        categories=4,
        topic_s=180.0,
        visit_s=45.0,  # short, so that half an hour leaves a viewer a dozen of them
        return_share=0.0,
        talking_share=0.0,  # only the chat goes on about something else
        noise_share=0.02,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--rooms", type=int, default=90)
    parser.add_argument("--viewers", type=int, default=600)
    parser.add_argument("--minutes", type=float, default=40, help="that are learned from")
    parser.add_argument("--minilm", action="store_true", help="the encoder that serves, in the place of words")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder: Encoder = TextEncoder(EncoderConfig()) if args.minilm else WordEncoder()
    found = run(platform(args.seed, args.rooms, args.viewers), args.minutes, encoder, TRAINING)
    if args.json:
        print(json.dumps({"encoder": encoder.version, "moved": [dataclasses.asdict(one) for one in found]}))
        return
    print(f"{found[0].rooms} rooms, {found[0].viewers} viewers who like the new topic; vectors of {encoder.version}")
    print("version  after   λ     cosine  codes changed  mean rank: topic stays → changes   rose / fell for")
    for one in found:
        print(
            f"{one.sides:<8} {one.after_s:>3} s  {one.gate:.2f}  {one.cosine:>6.3f}  {one.codes_changed:>13.0%}"
            f"  {one.rank_before:>21.1f} → {one.rank:<10.1f} {one.risen:>6.0%} / {one.fallen:.0%}"
        )


if __name__ == "__main__":
    main()
