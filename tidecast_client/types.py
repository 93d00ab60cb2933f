"""The records of the API. Never sends or reads one.

Made from the OpenAPI document by `make client`; changes are lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "UNSET",
    "Answer",
    "BatchAnswer",
    "BatchQuery",
    "BatchResult",
    "ChatMessage",
    "Context",
    "DeletedRule",
    "Erased",
    "Filters",
    "Goals",
    "Item",
    "KnownViewers",
    "ListedVersion",
    "ListedVersions",
    "MapPoint",
    "NotWritten",
    "NothingTaken",
    "Problem",
    "Promoted",
    "PutRule",
    "Query",
    "RankAnswer",
    "RankQuery",
    "Readiness",
    "Receipt",
    "RecordProblem",
    "RolledBack",
    "Room",
    "RoomEnded",
    "RoomMap",
    "RoomStarted",
    "RoomUpdated",
    "Rule",
    "RuleBody",
    "SearchAnswer",
    "SeenHabit",
    "SeenInterests",
    "SeenViewer",
    "SeenVisit",
    "Speech",
    "Steer",
    "Steered",
    "Trouble",
    "UnsetType",
    "Verdict",
    "Verdicts",
    "ViewerEvent",
]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457. `field`: the JSON path of what is wrong, without the leading "$."; `allowed`: what may stand there."""

    type: str
    title: str
    status: int
    detail: str
    field: str | UnsetType = UNSET
    allowed: str | UnsetType = UNSET


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which rooms may be returned; a filter left out lets every room through."""

    # a language tag; "pt" finds "pt-BR" and "PT_br" too, "pt-BR" no other region
    language: str | None = None
    # the whole name of a category; letter case and Unicode form aside
    category: str | None = None
    # true: only rooms for adults; "any": these too; else none, unless recommend.show_mature says so
    mature: bool | Literal["any"] | None = None
    # whole tags that a room must have; letter case and Unicode form aside
    tags: Sequence[str] = ()
    # "all": a room must have every one of `tags`; "any": one of them
    tags_match: Literal["all", "any"] = "all"
    # viewers in the room, at least
    min_audience: int | None = None
    # viewers in the room, at most
    max_audience: int | None = None
    # seconds since the broadcast began, at least
    min_age_s: int | None = None
    # seconds since the broadcast began, at most
    max_age_s: int | None = None
    # the `age_ms` of a room's receipt, at most
    max_receipt_age_ms: int | None = None


DEFAULT_FILTERS = Filters()


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rooms or streamers where the viewer was just now, and the language that they prefer.

    It counts for a viewer without a profile alone. There is no country: no room has one.
    """

    # ids of rooms or streamers, the latest first
    recent: Sequence[str] = ()
    # a language tag; "pt" finds "pt-BR" and "PT_br" too, "pt-BR" no other region
    language: str | None = None


class Steer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A text and rooms that pull this one answer. It changes no profile.

    Each of `text` and `liked` pulls towards what is said there, `disliked` away from it.
    """

    # what rooms should be about, in your own words
    text: str | None = None
    liked: Sequence[str] = ()
    disliked: Sequence[str] = ()
    # how much it counts; 1 as usual, 0 not at all
    strength: float = 1.0


class Goals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much each outcome of showing a room is worth; what counts is their ratio.

    A head says how likely the outcome is once the viewer has entered, so a room is worth the probability of
    entering times the weighted mean of what follows. Leaving at once counts against a room: its weight is the worth
    of not doing so.
    """

    # worth of entering
    enter: float = 1.0
    # worth of staying for a minute
    stay: float = 0.0
    # worth of a chat message, a like, a gift
    interact: float = 0.0
    # counts against: worth of not leaving at once, within training.leave_s (10 s)
    leave: float = 0.0


class Query(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asks for how many rooms, and which must not be among them."""

    viewer: str
    # how many rooms to return at most
    limit: int = 20
    exclude: Sequence[str] = ()
    # streamers whose rooms are left out
    exclude_streamers: Sequence[str] = ()
    filters: Filters = DEFAULT_FILTERS
    context: Context | None = None
    # "" for the first of several pages, then what the page before gave; left out for a single answer
    cursor: str | None = None
    steer: Steer | None = None
    # weights, or the name of weights that the configuration has in recommend.named_goals
    goals: str | Goals | None = None
    explain: bool = False
    # false: nobody will see this answer, as when it is fetched ahead; it is noted nowhere
    shown: bool = True
    # a language tag: reasons are written in it where there are texts for it; left out: the context's language, the
    # one that the viewer watches most, or English
    reason_language: str | None = None
    # the version that ranks: "v0" for the baseline ranker, or the name of the live one; "": the live one, or what an
    # experiment gives the viewer
    version: str = ""


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a steer."""

    text: str | UnsetType = UNSET
    ended: list[str]
    unknown: list[str]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh an item is. Times in ms since the Unix epoch."""

    segment_end_ms: int
    servable_ms: int
    age_ms: int
    encoder_version: str
    model_version: str


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A live room."""

    room: str
    streamer: str
    title: str
    category: str
    language: str
    tags: list[str]
    mature: bool
    started_at_ms: int
    audience: int
    chat_per_minute: int
    receipt: Receipt


class Item(Room, frozen=True, kw_only=True):
    """A room of an answer and why it is there. `terms` (on `explain`): what the score is the sum of.

    `rule`: the operator's rule that has moved the room, if one has.
    """

    score: float
    source: str
    reason: str
    rule: str | UnsetType = UNSET
    terms: dict[str, float] | UnsetType = UNSET


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Rooms in order, best first."""

    request_id: str
    viewer: str
    known: bool
    model_version: str
    generated_at_ms: int
    live_rooms: int
    goals_used: bool | UnsetType = UNSET
    # weights of these goals that do not count: the version has no head for them
    goals_ignored: list[str] | UnsetType = UNSET
    goals_rule: str | UnsetType = UNSET
    experiments: dict[str, str] | UnsetType = UNSET
    cursor: str | UnsetType | None = UNSET
    steer: Steered | UnsetType = UNSET
    rooms: list[Item]


class BatchQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Recommendations asked for in one request."""

    queries: Sequence[Query]


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one query: an answer, or a problem whose `field` is within the query."""

    answer: Answer | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The results in the order of the queries. Each was computed on its own, at its `generated_at_ms`.

    The `request_id` of each is that of the request, a full stop, and its place from 0.
    """

    results: list[BatchResult]


class RankQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asks for the order of which rooms."""

    viewer: str
    # ids of rooms, live or not; repeats count once
    rooms: Sequence[str]
    context: Context | None = None
    # weights, or the name of weights that the configuration has in recommend.named_goals
    goals: str | Goals | None = None
    explain: bool = False
    # a language tag: reasons are written in it where there are texts for it; left out: the context's language, the
    # one that the viewer watches most, or English
    reason_language: str | None = None


class RankAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The given rooms in order, best first: every live one, mature or not. `not_live`: the others, as given."""

    request_id: str
    viewer: str
    known: bool
    model_version: str
    generated_at_ms: int
    live_rooms: int
    goals_used: bool | UnsetType = UNSET
    # weights of these goals that do not count: the version has no head for them
    goals_ignored: list[str] | UnsetType = UNSET
    goals_rule: str | UnsetType = UNSET
    experiments: dict[str, str] | UnsetType = UNSET
    never_shown: list[str]
    hidden: list[str] = []
    not_live: list[str]
    rooms: list[Item]


class SearchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Rooms in order, best first. text: as it was compared."""

    text: str
    encoder_version: str
    model_version: str
    generated_at_ms: int
    live_rooms: int
    cursor: str | UnsetType | None = UNSET
    rooms: list[Item]


class KnownViewers(msgspec.Struct, frozen=True, kw_only=True):
    """Viewers whose profiles a replica holds, those heard of or asked for latest first. held: how many they are."""

    held: int
    viewers: list[str]


class SeenInterests(msgspec.Struct, frozen=True, kw_only=True):
    """What the score reads from the visits. A share is 1 for the most visited label, its root less for the others."""

    categories: dict[str, float]
    languages: dict[str, float]
    top_categories: list[str]
    similar_to: list[str]
    has_vector: bool
    last_streamer: str | None


class SeenHabit(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer has with a streamer. strength: 0..1, what the term `visited` of the baseline's score goes by."""

    streamer: str
    visits: int
    watch_ms: int
    chats: int
    followed: bool
    last_at_ms: int
    strength: float
    live_rooms: list[str]


class SeenVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit to a room, until another began. Times in ms since the Unix epoch."""

    room: str
    streamer: str
    entered_at_ms: int
    last_at_ms: int
    watch_ms: int
    chats: int
    likes: int
    gifts: int
    live: bool


class SeenViewer(msgspec.Struct, frozen=True, kw_only=True):
    """A viewer with a profile. Visits: the latest first. Habits: the strongest first."""

    viewer: str
    room: str | None
    total_visits: int
    repeats: int
    total_events: int
    first_at_ms: int
    last_at_ms: int
    generated_at_ms: int
    model_version: str
    interests: SeenInterests
    habits: list[SeenHabit]
    visits: list[SeenVisit]


class MapPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A live room on a map. x, y: by content, between -1 and 1; they change only where its vector does.

    drift: how far what is said now is from what was said before in the broadcast, one minus their cosine, 0..2;
    null before there is a before. code: the first of its semantic codes under the version in force, null under v0.
    """

    room: str
    streamer: str
    title: str
    category: str
    language: str
    mature: bool
    audience: int
    x: float
    y: float
    drift: float | None
    code: int | None


class RoomMap(msgspec.Struct, frozen=True, kw_only=True):
    """Live rooms by content in two dimensions, largest audience first; without those that have no vector yet.

    axes: to be given with the next request, so that rooms stay where they are. They come back as they were while
    they show what differs, else others, turned towards them. explained: the share of the differences that x and y
    show.
    """

    at_ms: int
    live_rooms: int
    axes: str
    explained: float
    rooms: list[MapPoint]


class RoomStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="started"):
    """A broadcast began. `room` is new for each broadcast, `streamer` stays."""

    # schema version
    v: Literal[1] = 1
    room: str
    streamer: str
    # milliseconds since the Unix epoch, UTC
    at_ms: int
    title: str = ""
    category: str = ""
    # BCP 47, for example "en" or "pt-BR"; "" if not known
    language: str = ""
    tags: Sequence[str] = ()
    mature: bool = False


class RoomUpdated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="updated"):
    """A broadcast's description changed. Fields left out stay as they were; "", [] and false mean none.

    Repeat all fields where you can: the topic is compacted by room and may keep only the last record of one.
    """

    # schema version
    v: Literal[1] = 1
    room: str
    streamer: str
    # milliseconds since the Unix epoch, UTC
    at_ms: int
    title: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    # BCP 47, for example "en" or "pt-BR"; "" if not known
    language: str | UnsetType = UNSET
    tags: Sequence[str] | UnsetType = UNSET
    mature: bool | UnsetType = UNSET


class RoomEnded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="ended"):
    """A broadcast ended."""

    # schema version
    v: Literal[1] = 1
    room: str
    # milliseconds since the Unix epoch, UTC
    at_ms: int


class RecordProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record was not taken. `field`: of the record, "" for all of it; `allowed`: what may stand there."""

    reason: str
    detail: str
    field: str
    allowed: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record. `mended`: what was read though not as the schema says (docs/kafka.md lists it)."""

    index: int
    accepted: bool
    problem: RecordProblem | UnsetType = UNSET
    mended: list[str] | UnsetType = UNSET


class Verdicts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each record, in the order of the request. Kafka has those that are accepted."""

    accepted: int
    refused: int
    verdicts: list[Verdict]


class NothingTaken(Problem, frozen=True, kw_only=True):
    """A problem, with what is wrong with each record. `field` and `allowed` are those of the first."""

    accepted: int
    refused: int
    verdicts: list[Verdict]


class NotWritten(Problem, frozen=True, kw_only=True):
    """A problem, with whether some of the records may be written all the same, now or later."""

    may_be_written: bool


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="chat"):
    """One chat message."""

    # schema version
    v: Literal[1] = 1
    room: str
    viewer: str
    text: str
    # milliseconds since the Unix epoch, UTC
    at_ms: int


class Speech(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="speech"):
    """What the streamer said: a sentence or a few, as the platform's speech recogniser has written them."""

    # schema version
    v: Literal[1] = 1
    room: str
    text: str
    # milliseconds since the Unix epoch, UTC
    at_ms: int


class ViewerEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="viewer"):
    """What a viewer did in a room. `seconds`: for `watch`, seconds watched since the previous event of the visit."""

    # schema version
    v: Literal[1] = 1
    viewer: str
    room: str
    streamer: str
    action: Literal[
        "block_streamer",
        "chat",
        "enter",
        "follow",
        "gift",
        "hide_room",
        "leave",
        "like",
        "not_interested",
        "unblock_streamer",
        "undo_not_interested",
        "unhide_room",
        "watch",
    ]
    # milliseconds since the Unix epoch, UTC
    at_ms: int
    seconds: float = 0.0
    # of the event, for producers that may send one twice; optional
    id: str = ""
    # `request_id` of the answer that showed the room to the viewer; optional
    request_id: str = ""
    # where in that answer the room was shown, from 1; 0: not known
    position: int = 0


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted: everything of the viewer up to `erased_at_ms` is forgotten. `next`: what happens now."""

    viewer: str
    erased_at_ms: int
    next: str = ""


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the models. state: `before` was live once. metrics: of its training and of the promotion gate."""

    version: str
    state: str
    at_ms: int
    metrics: dict[str, float]


class ListedVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Every version, the newest record first. answers: the one by which this replica answers."""

    answers: str
    versions: list[ListedVersion]


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was put live by hand: no gate is asked. Replicas follow within seconds."""

    version: str
    reason: str


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """The version that was live, now retired, and the one that is."""

    was: str
    live: str


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, where it comes from, and what it does now in the replica that answers."""

    name: str
    action: str
    rooms: list[str]
    streamers: list[str]
    categories: list[str]
    languages: list[str]
    tags: list[str]
    weight: float
    position: int
    most: int
    starts_at_ms: int | None
    ends_at_ms: int | None
    enabled: bool
    reason: str
    goals: dict[str, float] = {}
    put_at_ms: int
    origin: str
    replaces_configured: bool
    in_force: bool
    live_rooms: int
    experiments: list[str] = []


class RuleBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a rule does to which live rooms: those that have, of each list which is not empty, one of its values.

    One of goals is about no rooms: it says what lists are for where a request does not.
    """

    action: Literal["boost", "bury", "goals", "hide", "pin"]
    rooms: Sequence[str] = ()
    streamers: Sequence[str] = ()
    categories: Sequence[str] = ()
    languages: Sequence[str] = ()
    tags: Sequence[str] = ()
    weight: float = 1.0
    position: int = 1
    most: int = 1
    # milliseconds since the Unix epoch, UTC
    starts_at_ms: int | None = None
    # milliseconds since the Unix epoch, UTC
    ends_at_ms: int | None = None
    enabled: bool = True
    reason: str = ""
    goals: Mapping[str, float] = {}


class PutRule(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted: the rule is on the log, and in force in every replica within a second or so."""

    name: str
    put_at_ms: int


class DeletedRule(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted: no rule of this name is put. `restores_configured`: that of the configuration counts again."""

    name: str
    deleted_at_ms: int
    restores_configured: bool


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A problem with a partition. message: what it is and how to go on, for a person.

    offset: of the first record that is not read because of it, -1 if it concerns no record. reader: who met it
    (`room-workers`, `replica`, `archiver`), "" until its source has passed it on.
    """

    topic: str
    partition: int
    offset: int
    kind: str
    message: str
    reader: str = ""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a replica's answers are good, and how far it is behind."""

    ready: bool
    reason: str
    lag: dict[str, int]
    contact_age_s: float | None
    live_rooms: int
    model_version: str = "v0"
    model_refused: str = ""
    model_waits: str = ""
    state: str = "current"
    troubles: list[Trouble] = []
    anew: str = ""
    lost: str = ""
