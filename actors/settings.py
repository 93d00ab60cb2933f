"""The settings of the workers, the tables, the answers, and of records that come over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from streaming.errors import ConfigError
from streaming.events import MIN_AT_MS
from streaming.operator_rule import MAX_RULES, NAME, OperatorRule, RuleBody, rule_of
from streaming.section import Count, CountOrZero, NotNegative, Positive, PositiveShare, Section, Share
from training.settings import Baseline, BaselineWeights

MAX_GOAL = 100.0
MAX_NAMED_GOALS = 100  # an error lists their names
Goal = Annotated[float, Meta(ge=0, le=MAX_GOAL)]


@dataclass(frozen=True, slots=True)
class ScheduleConfig(Section):
    """How soon a room's new chat is encoded."""

    section: ClassVar[str] = "room_worker.schedule"

    urgent_ms: Count = 20_000  # leaves 10 s of the promised 30 for the encoder and the log
    stale_ms: Count = 30_000
    rest_ms: CountOrZero = 150  # at least this between two encodes of a room: a busy chat would take a core for itself
    # share of the capacity that re-encoding active rooms may take, so that new texts wait little
    load: PositiveShare = 0.7

    def check(self) -> None:
        if self.urgent_ms > self.stale_ms:
            raise ConfigError(
                f"room_worker.schedule.urgent_ms is {self.urgent_ms}; it must be at most stale_ms, {self.stale_ms}"
            )


@dataclass(frozen=True, slots=True)
class InFlightConfig(Section):
    """How much work a worker leaves at the encoder."""

    section: ClassVar[str] = "room_worker.in_flight"

    target_s: Positive = 0.4  # of work at the encoder: it stays busy between two polls, and a title waits no longer
    batch_texts: Count = 64
    timeout_s: Positive = 20.0  # a submission that is silent for so long is tried again


@dataclass(frozen=True, slots=True)
class ExchangeConfig(Section):
    """How one encoder takes the place of another while the system runs."""

    section: ClassVar[str] = "room_worker.exchange"

    # of the encoder's time, for the one to come, while the one in use has texts as well
    share: PositiveShare = 0.5
    # most of its texts at the encoder at once, but for what is said now once answers may use its vectors
    batch_texts: Count = 16
    # of the live rooms, as replicas ask for; once the one to come has read so many, answers may use it
    enough: PositiveShare = 0.95
    settle_s: NotNegative = 60.0  # both read on for so long then: replicas change over meanwhile
    keep_s: NotNegative = 600.0  # vectors of the one before are kept for so long, for a way back


@dataclass(frozen=True, slots=True)
class RoomWorkerConfig(Section):
    """How often a RoomWorker publishes, and how long it keeps rooms that are over."""

    section: ClassVar[str] = "room_worker"

    # without a sign of life for so long, a room is presumed ended; 0: only an end ends it
    room_timeout_s: CountOrZero = 900
    keep_ended_s: Count = 3_600  # after an `end` event, the state becomes a tombstone
    keep_presumed_s: Count = 43_200  # after a presumed end: until then any sign of life brings the room back
    keep_orphan_s: Count = 600  # counts of a room that never starts
    max_orphans: Count = 10_000  # per partition
    statistics_every_ms: CountOrZero = 1_000  # per room, for states in which only counts changed
    statistics_per_s: Count = 500  # of those states; above it rooms take longer turns
    commit_every_ms: CountOrZero = 25  # a transaction takes 8 ms
    behind_commit_every_ms: CountOrZero = 100  # while chat waits for the encoder for over a second anyway
    busy_commit_every_ms: CountOrZero = 1_000  # while there is more to read
    max_states_per_commit: Count = 2_000
    # a closed segment that waited so long is left out of the mean if a newer one waits
    segment_patience_s: CountOrZero = 600
    # chat that waited so long for an encoder that is behind is encoded as a short text first
    short_after_s: CountOrZero = 10
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    in_flight: InFlightConfig = field(default_factory=InFlightConfig)
    exchange: ExchangeConfig = field(default_factory=ExchangeConfig)


@dataclass(frozen=True, slots=True)
class ProfileWorkerConfig(Section):
    """How often a ProfileWorker commits, and how many viewers it keeps decoded."""

    section: ClassVar[str] = "profile_worker"

    commit_every_ms: CountOrZero = 25  # a lone event is committed at once; a transaction takes 8 ms
    busy_commit_every_ms: CountOrZero = 1_000  # while there is more to read
    aggregates_per_partition: Count = 20_000  # others stay serialised; a decoded profile takes several times as much
    # memory for serialised profiles, some 400,000 at 1 KB; those of viewers silent for longest then go to disk
    memory_mb: Count = 512
    # most that their files take; when it is full, profiles stay in memory. 0: no files, whatever memory_mb says
    disk_mb: CountOrZero = 16_384
    folder: str = ""  # for those files, on a disk of this host; "": beside this host's metrics
    mark_every_s: Count = 60  # how much of the log is read again after a restart that finds the files


@dataclass(frozen=True, slots=True)
class IndexConfig(Section):
    """How many rooms the index has room for, and how it stores their vectors."""

    section: ClassVar[str] = "index"

    max_rooms: Count = 262_144  # address space, not memory: a row costs nothing until a room has it
    dtype: Literal["float32", "float16"] = "float32"  # float16 halves the memory; a search then converts as it goes
    coarse: bool = True  # what may be nearest is found by vectors in 16 bits; false: in dtype. Answers are the same
    # first dimensions of a model's vectors, by which candidates for its ranker are found; 0: all
    prefix: CountOrZero = 32


@dataclass(frozen=True, slots=True)
class TablesConfig(Section):
    """How much a replica keeps in memory, and what its index searches."""

    section: ClassVar[str] = "tables"

    profiles_mb: Count = 256  # memory for the profiles of recently active viewers; some 150,000 of them at 1.5 KB
    index_dimension: CountOrZero = 64  # directions of content vectors that are searched; 0 for all (projection.py)
    title_weight: Share = 0.4  # share of the title in a room's content vector; the rest is the last 30 s of chat


@dataclass(frozen=True, slots=True)
class GoalsConfig(Section):
    """What lists are for where a request does not say: weights over a learned version's heads. Their ratio counts."""

    section: ClassVar[str] = "recommend.goals"

    enter: Goal = 1.0
    stay: Goal = 0.0  # for a minute
    interact: Goal = 0.0  # a chat message, a like, a gift
    leave: Goal = 0.0  # counts against: what it is worth that the viewer does not leave at once (training.leave_s)

    def check(self) -> None:
        if self.enter + self.stay + self.interact + self.leave <= 0:
            raise ConfigError("recommend.goals: one of enter, stay, interact and leave must be above 0")


def goals_by_weight(weights: Mapping[str, Any], key: str) -> GoalsConfig:
    """Goals of weights by name; none at all will do. key: of the configuration. Raises ConfigError."""
    known = [weight.name for weight in fields(GoalsConfig)]
    if odd := [name for name in weights if name not in known]:
        raise ConfigError(f"{key}: unknown weight {odd[0][:80]!r}; there are {', '.join(known)}")
    try:
        return GoalsConfig(**weights)
    except ConfigError as err:
        raise ConfigError(str(err).replace(GoalsConfig.section, key, 1)) from err


@dataclass(frozen=True, slots=True)
class RecommendConfig(Section):
    """How an answer finds and orders rooms."""

    section: ClassVar[str] = "recommend"

    weights: BaselineWeights = field(default_factory=BaselineWeights)
    goals: GoalsConfig = field(default_factory=GoalsConfig)
    # weights by name, each as recommend.goals; a request may give such a name for its goals
    named_goals: dict[str, dict[str, Any]] = field(default_factory=dict)
    nearest: Count = 64  # candidates nearest to the viewer's recent rooms
    pool: Count = 64  # candidates trending now, and as many newest
    renew_ms: Count = 300  # how old the lists of trending and newest may be
    fresh_half_life_s: Positive = 600.0
    show_mature: bool = False  # mature rooms also to viewers whose filter does not ask for them
    broad_category: str = "Just Chatting"  # label of rooms about anything: it says little of interests; "" for none
    # least effect of a reason, as a share of what its term can do, or in log odds of entering
    reason_least: NotNegative = 0.1
    new_s: NotNegative = 300.0  # so long after its start a room counts as just started
    streamer_cost: NotNegative = 0.5  # what each further room of a streamer loses in the order
    category_cost: NotNegative = 0.02  # what each further room of a category loses in the order
    # whether a viewer and a streamer of the same id are one person, who is never recommended their own room
    shared_ids: bool = True
    # what a streamer's rooms lose at first of their score by `not_interested`; with a model a third of it in log odds
    not_interested_cost: NotNegative = 9.0
    not_interested_half_life_s: Positive = 1_209_600.0  # two weeks
    # what a room loses of its score each time it was shown and not entered; with a model a third of it of log odds.
    # 0: nothing, and what was shown is not noted. On recorded chat 0.5 changed nothing for the worse, 3 did
    shown_cost: NotNegative = 0.0
    shown_most_cost: NotNegative = 1.5  # most that a room loses by it
    shown_half_life_s: Positive = 600.0  # of what it has lost; to enter the room ends it at once
    shown_mb: Count = 64  # memory for it in a replica; some 45,000 viewers
    # how long an answer waits for a profile that the replica has let go; 0: not at all
    lookup_timeout_ms: CountOrZero = 20
    lookups_in_flight: CountOrZero = 64  # per replica at a time; further viewers are served as cold-start viewers
    steer: NotNegative = 24.0  # what a room as like as can be gains of its score by `steer`; with a model a third of it
    impressions: Share = 0.25  # share of the answers, at random, that is written to the topic impressions; 0: none.
    # Each costs about a tenth of its answer's processor time, and a quarter of many is enough to learn from
    impressions_waiting: CountOrZero = 10_000  # most that a replica keeps while Kafka is away; some 1 KB each
    ranked: CountOrZero = 60  # with a model: candidates that its ranker scores, best by the baseline ranker; 0: all
    shadow: Share = 0.0  # share of the answers that the newest candidate version scores too, to be compared; 0: none
    failures: CountOrZero = 20  # in a row, after which a version gives way to the one before it; 0: it stays

    def check(self) -> None:
        if len(self.named_goals) > MAX_NAMED_GOALS:
            raise ConfigError(f"recommend.named_goals has {len(self.named_goals)} names; at most {MAX_NAMED_GOALS}")
        self.goals_by_name()

    def goals_by_name(self) -> dict[str, GoalsConfig]:
        """The named goals. Raises ConfigError: a name or a weight is none."""
        return {name: _named_goals(name, weights) for name, weights in self.named_goals.items()}

    @property
    def baseline(self) -> Baseline:
        """The settings that the baseline ranker needs, online or offline."""
        return Baseline(self.weights, self.broad_category, self.fresh_half_life_s)


def _named_goals(name: str, weights: dict[str, Any]) -> GoalsConfig:
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"recommend.named_goals: {name[:80]!r} is no name; it has letters, digits, '.', '_' and '-'")
    return goals_by_weight(weights, f"recommend.named_goals.{name}")


@dataclass(frozen=True, slots=True)
class SearchConfig(Section):
    """How texts that callers ask with become vectors."""

    section: ClassVar[str] = "search"

    timeout_ms: Annotated[int, Meta(ge=1, le=4_500)] = 2_000  # for the Encoder; HAProxy gives a replica 5 s
    in_flight: Count = 32  # texts that a replica has at the Encoder at a time; further ones are refused at once
    cached_texts: Count = 4_096  # per replica, as vectors; 1.6 KB each at 384 dimensions
    cache_s: Positive = 600.0  # after which a text is encoded anew: the Encoder may be another by then


@dataclass(frozen=True, slots=True)
class RulesConfig(Section):
    """Operators' rules of this installation, beside those that are put over HTTP."""

    section: ClassVar[str] = "rules"

    # by name, each as the body of PUT /v1/rules/{name}; one that is put under the same name counts instead
    named: dict[str, dict[str, Any]] = field(default_factory=dict)

    def check(self) -> None:
        if len(self.named) > MAX_RULES:
            raise ConfigError(f"rules.named has {len(self.named)} rules; at most {MAX_RULES}")
        for name, given in self.named.items():
            try:
                rule = rule_of(name, msgspec.convert(given, RuleBody), MIN_AT_MS)
            except msgspec.ValidationError as err:
                raise ConfigError(f"rules.named.{name[:80]}: {err}") from err
            goals_by_weight(rule.goals, f"rules.named.{name}.goals")

    def rules(self) -> dict[str, OperatorRule]:
        """The rules by name."""
        return {name: rule_of(name, msgspec.convert(given, RuleBody), MIN_AT_MS) for name, given in self.named.items()}


@dataclass(frozen=True, slots=True)
class IntakeConfig(Section):
    """Whether producers' records are taken over HTTP too, how many at a time, and how long a repetition is known."""

    section: ClassVar[str] = "intake"

    enabled: Literal["auto", "on", "off"] = "auto"  # auto: where callers are of this machine, or need keys
    max_records: Count = 10_000  # of a request
    # of a request, decompressed; as it is sent http.max_body_bytes bounds it
    max_unpacked_bytes: Annotated[int, Meta(ge=1_024)] = 8_388_608
    waiting_mb: Count = 32  # bodies that a replica has in hand until Kafka has them; then it answers 429
    # for Kafka to acknowledge a request's records; HAProxy gives a replica 5 s for its answer
    timeout_s: Annotated[float, Meta(gt=0, le=4.5)] = 4.0
    keys_s: CountOrZero = 600  # how long a replica knows the answer to an Idempotency-Key
    keys_mb: Count = 16  # of those answers; then the oldest are forgotten

    def is_on(self, *, guarded: bool) -> bool:
        """Whether records are taken. guarded: whether callers are of this machine, or need keys."""
        return self.enabled == "on" or (self.enabled == "auto" and guarded)
