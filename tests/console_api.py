"""Tidecast's two HTTP ports as the console sees them, with made-up rooms, over real HTTP. No test is here.

python -m tests.console_api 8000       serves until Ctrl-C, for looking at the console by hand
"""

from __future__ import annotations

import math
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import UNSET

from actors.answers.schema import KnownViewers, MapPoint, RoomMap, SeenInterests, SeenViewer
from actors.recommend.schema import Answer, Item, Query, Receipt, Room
from deploy.http.problem import CONTENT_TYPE, Problem
from deploy.http.routes.models import ListedVersion, ListedVersions, Promoted, RolledBack
from deploy.http.status import Post, Readiness, SystemStatus
from streaming.events import ChatMessage, ViewerEvent
from streaming.metrics import FRESHNESS_S
from tests.console_steer import AWAY, became, by_goals, needs_encoder, search, steered
from tests.console_versions import GATE, VERSIONS
from tidecast_client import Rule

LINES, CHAT = msgspec.json.Decoder(ChatMessage), msgspec.json.Decoder(list[ChatMessage])
EVENT_LINES = msgspec.json.Decoder(ViewerEvent)
# made once: threads that let msgspec look at a type for the first time at once end in a segmentation fault
QUERY, QUERIES = msgspec.json.Decoder(Query), msgspec.json.Decoder(dict[str, list[msgspec.Raw]])
READING = "still reading room states and profiles"
COVER_MS = 400  # from a chat line to the receipt that covers it
TITLES = (
    "Silent Peak, blind run: no map, no hints, day 3",
    "Late night lo-fi and a kettle that will not boil",
    "Ranked until I lose twice",
    "Restoring a 1974 reel-to-reel, motor today",
    "Desafio: cozinhar com 3 ingredientes",
    "Ночной поезд: кабина машиниста",
    "Marathon: all cups, all shortcuts, no sleep",
    "Drawing what chat says, badly",
    "Tide tables and small boats: harbour cam",
    "Chess, but the audience votes",
)
CATEGORIES = ("Just Chatting", "Silent Peak", "Music", "Chess", "Makers & Crafting", "Kart Legends")
LANGUAGES = ("en", "pt-BR", "ja", "de", "")
TERMS = ("visited", "category", "language", "arrivals", "trending", "content", "rising", "crowd", "fresh")
REASONS = (
    ("visited", "you visited {} before"),
    ("similar", "similar to {}, where you were"),
    ("category", "you watch Silent Peak"),
    ("trending", "trending now"),
    ("new", "just started"),
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Stage:
    """What the API is to answer. A test changes it while the server runs."""

    rooms: int = 40
    titles: dict[int, str] = field(default_factory=dict)  # by the room's number
    takes_chat: bool = True
    refusal: str = ""  # why chat is not taken all the same
    key_refused: bool = False  # whether that is because of the caller's key
    up: bool = True
    takes_map: bool = True
    takes_search: bool = True
    reads_texts: bool = True  # whether the Encoder does
    reads_for_s: float = 0.0  # how long that takes
    encoded: bool = True  # whether any room has a vector
    codes: bool = False
    learned: bool = False  # whether a learned version answers, whose terms do not add up
    dead_rooms: int = 0
    chat: list[ChatMessage] = field(default_factory=list)
    done: list[ViewerEvent] = field(default_factory=list)  # what viewers did
    pids: dict[str, int] = field(default_factory=dict)  # of processes, by name and rank
    versions: list[ListedVersion] = field(default_factory=lambda: list(VERSIONS))
    names_viewers: bool = True  # whether the caller may have known viewers named, and rules listed
    rules: dict[str, Rule] = field(default_factory=dict)  # operators', by name
    asked: Counter[str] = field(default_factory=Counter)
    began_s: float = field(default_factory=time.monotonic)
    on_query: Callable[[Query], None] = lambda _query: None  # called with each list that is asked for

    @property
    def admin(self) -> int:
        """The status of what needs the scope admin."""
        return 200 if self.names_viewers else 403

    def room(self, number: int) -> Room:
        draw = random.Random(number)
        swing = random.Random(number * 1_000 + int(time.monotonic() - self.began_s) // 3)
        name = f"room-{number:04d}"
        heard_ms = now_ms() - 300 - draw.randrange(4_000)
        lines = [one.at_ms for one in self.chat if one.room == name and now_ms() - one.at_ms > COVER_MS]
        segment_end_ms = 0 if number % 11 == 10 else max(heard_ms, *lines) if lines else heard_ms
        return Room(
            room=name,
            streamer=f"{draw.choice(('mango', 'velvet', 'quiet'))}{draw.choice(('fox', 'ninja', 'otter'))}{number}",
            title=self.titles.get(number, TITLES[number % len(TITLES)]),
            category=CATEGORIES[number % len(CATEGORIES)],
            language=LANGUAGES[number % len(LANGUAGES)],
            tags=(),
            mature=number % 17 == 16,
            started_at_ms=now_ms() - 60_000 * (1 + draw.randrange(200)),
            audience=max(1, 4_000 // (number + 1)),
            chat_per_minute=max(0, 240 // (number + 1) + swing.randrange(-9, 30)),
            receipt=Receipt(
                segment_end_ms=segment_end_ms,
                servable_ms=max(heard_ms + 260, segment_end_ms + 90),
                age_ms=now_ms() - (segment_end_ms or heard_ms),
                encoder_version="all-MiniLM-L6-v2-fp32",
                model_version="m1795366627" if self.learned else "v0",
            ),
        )

    def listed(self, limit: int) -> list[Room]:
        return [self.room(number) for number in range(min(limit, self.rooms))]

    def map(self, limit: int) -> RoomMap:
        """Topics around a ring, rooms around their topic; every ninth room wanders to another one."""
        points = [self._point(self.room(number)) for number in range(min(limit, self.rooms))] if self.encoded else []
        return RoomMap(at_ms=now_ms(), live_rooms=self.rooms, axes="AAAA", explained=0.27, rooms=points)

    def _point(self, room: Room) -> MapPoint:
        number, draw = int(room.room.removeprefix("room-")), random.Random(room.room)
        angle, far = math.tau * (number % len(CATEGORIES)) / len(CATEGORIES), 0.3
        x, y = far * math.cos(angle) + draw.gauss(0, 0.07), far * math.sin(angle) + draw.gauss(0, 0.07)
        if number % 9 == 4:
            step = int((time.monotonic() - self.began_s) / 2) % 24 / 24
            x, y = x * (1 - step), y * (1 - step) + 0.03 * math.sin(step * 9)
        swing = random.Random(number * 77 + int(time.monotonic() - self.began_s) // 3)
        return MapPoint(
            room=room.room,
            streamer=room.streamer,
            title=room.title,
            category=room.category,
            language=room.language,
            mature=room.mature,
            audience=room.audience,
            x=x,
            y=y,
            drift=round(0.1 + 0.1 * draw.random() + 0.15 * swing.random() + 0.2 * (number % 9 == 4), 3),
            code=number % 5 if self.codes else None,
        )

    def answer(self, query: Query) -> Answer:
        self.on_query(query)
        draw = random.Random(query.viewer)
        learned = self.learned and query.version != "v0"
        numbers = list(range(min(self.rooms, 60)))
        draw.shuffle(numbers)
        if query.version:  # near to the order without one
            places = {number: at + 8 * random.Random(number).random() for at, number in enumerate(numbers)}
            numbers.sort(key=places.__getitem__)
        written = {line.room for line in self.chat if now_ms() - line.at_ms > COVER_MS}
        numbers.sort(key=lambda number: f"room-{number:04d}" not in written)  # what is written of comes first
        recent = query.context.recent if query.context is not None and not query.viewer.startswith("v") else ()
        numbers.sort(key=lambda number: -sum(f"room-{number:04d}"[-1] == one[-1] for one in recent))
        hidden = {one.room for one in self.done if one.viewer == query.viewer and one.action == "hide_room"}
        chosen = [n for n in numbers if f"room-{n:04d}" not in {*query.exclude, *hidden}]
        whole = query.steer is not None or query.goals is not None
        how = {"explain": query.explain, "learned": learned}
        items = [
            self._item(self.room(number), place, draw, **how)
            for place, number in enumerate(chosen if whole else chosen[: query.limit])
        ]
        if query.steer is not None:
            items = steered(items, query.steer, reads=self.reads_texts)
        if query.goals is not None and learned:
            items = by_goals(items, query.goals)
        known = query.viewer.startswith("v")
        live = self.listed(self.rooms) if query.steer is not None else []
        return Answer(
            request_id="r",
            viewer=query.viewer,
            known=known,
            model_version="m1795366627" if learned else "v0",
            generated_at_ms=now_ms(),
            live_rooms=self.rooms,
            goals_used=UNSET if query.goals is None else learned,
            goals_ignored=["leave"] if learned and query.goals is not None and query.goals.leave else UNSET,
            steer=UNSET if query.steer is None else became(query.steer, live, reads=self.reads_texts),
            rooms=items[: query.limit],
        )

    def batch(self, queries: Sequence[bytes]) -> dict[str, Any]:
        """The answer to each, or what is wrong with it."""
        results: list[dict[str, Any]] = []
        for query in queries:
            try:
                asked = QUERY.decode(query)
            except msgspec.ValidationError as err:
                problem = Problem(type="", title="", status=400, detail=str(err), field="viewer", allowed="a short id")
                results.append({"problem": problem})
                continue
            if needs_encoder(asked):
                time.sleep(self.reads_for_s)
            results.append({"answer": self.answer(asked)})
        return {"results": results}

    def _item(self, room: Room, place: int, draw: random.Random, *, explain: bool, learned: bool) -> Item:
        terms = {name: round(draw.random() * 3 / (1 + at + place / 4), 3) for at, name in enumerate(TERMS)}
        score = sum(terms.values())
        if learned:
            terms, score = {"enter": 0.31, "stay": 0.62, "interact": 0.05, "dot": 0.4, "gate": 0.8}, 0.31 - place / 100
        source, reason = REASONS[place % len(REASONS)]
        shown = msgspec.structs.asdict(room)
        why = {"terms": terms} if explain else {}
        return Item(**shown, score=score, source=source, reason=reason.format(room.streamer), **why)  # type: ignore[arg-type]

    def seen(self, viewer: str) -> SeenViewer | None:
        """A viewer with the events that were written so far."""
        done = [one for one in self.done if one.viewer == viewer and now_ms() - one.at_ms > COVER_MS]
        if not viewer.startswith("v") and not done:
            return None
        return SeenViewer(
            viewer=viewer,
            room=None,
            total_visits=3,
            repeats=1,
            total_events=40 + len(done),
            first_at_ms=0,
            last_at_ms=now_ms(),
            generated_at_ms=now_ms(),
            model_version="v0",
            interests=SeenInterests(
                categories={}, languages={}, top_categories=[], similar_to=[], has_vector=True, last_streamer=None
            ),
            habits=[],
            visits=[],
        )

    def readiness(self) -> Readiness:
        reading: dict[str, Any] = {} if self.up else {"state": "reading", "reason": READING}
        lag = {"room-states": 0}
        version = "m1795366627" if self.learned else "v0"
        head = {"lag": lag, "contact_age_s": 0.1, "live_rooms": self.rooms, "model_version": version}
        return Readiness(**{"reason": "", **reading, **head}, ready=self.up)

    def status(self) -> SystemStatus:
        replica = {**msgspec.to_builtins(self.readiness()), "model_refused": ""}
        worker = {"partitions": [0, 1, 2, 3], "lag": {"chat": 12, "rooms": 0}, "records_per_s": 84.0, "troubles": []}
        details: Sequence[tuple[str, dict[str, Any]]] = (
            ("encoder", {"version": "all-MiniLM-L6-v2-fp32", "texts_per_s": 52.0}),
            ("profile-worker", {**worker, "lag": {"viewer-events": 3}}),
            ("recommender", replica),
            ("recommender", replica),
            ("room-worker", worker),
            ("trainer", {"doing": "waiting", "version": VERSIONS[0].version, "outcome": "refused", "reason": GATE}),
        )
        ranks: Counter[str] = Counter()
        posts = []
        for name, detail in details:
            post = Post(
                name=name,
                rank=ranks[name],
                pid=self.pids.get(f"{name} {ranks[name]}", 4_100 + len(posts)),
                node="127.0.0.1",
                at_ms=now_ms() - 400,
                detail=detail,
            )
            posts.append(post)
            ranks[name] += 1
        return SystemStatus(at_ms=now_ms(), processes=posts)

    def listed_versions(self) -> ListedVersions:
        live = next(one.version for one in self.versions if one.state == "live")
        return ListedVersions(answers=live, versions=self.versions)

    def put_live(self, version: str, instead: str) -> None:
        """Puts a version live, and says what becomes of the one that was."""
        states = {one.version: "live" if one.version == version else one.state for one in self.versions}
        states |= {one.version: instead for one in self.versions if one.state == "live"}
        self.versions = [
            msgspec.structs.replace(one, state=states[one.version])  # type: ignore[arg-type]
            for one in self.versions
        ]

    def metrics(self) -> str:
        passed_s = time.monotonic() - self.began_s
        seen = int(passed_s * 20) + 200
        swing = random.Random(int(passed_s) // 2)
        lines = ["# TYPE tidecast_freshness_seconds histogram"]
        for bound in FRESHNESS_S:
            share = min(1.0, (bound / (1.1 + 0.2 * swing.random())) ** 0.9)
            lines.append(f'tidecast_freshness_seconds_bucket{{le="{bound}",stage="total"}} {seen * share:.0f}')
        lines.append(f'tidecast_freshness_seconds_bucket{{le="+Inf",stage="total"}} {seen}')
        lines += ["# TYPE tidecast_encode_seconds histogram", f"tidecast_encode_seconds_sum {passed_s * 0.41:.3f}"]
        counters = {
            "texts_encoded": passed_s * 17,
            "dead_rooms_returned": self.dead_rooms,
            "records_read": 90 * passed_s,
        }
        for name, value in counters.items():
            lines += [f"# TYPE tidecast_{name}_total counter", f"tidecast_{name}_total {value:.0f}"]
        lines += ["# TYPE tidecast_requests_total counter"]
        lines += [f'tidecast_requests_total{{route="/v1/recommend",status="200"}} {passed_s * 20:.0f}']
        lines += ["# TYPE tidecast_encoder_backlog gauge", f"tidecast_encoder_backlog {swing.randrange(4)}"]
        return "\n".join(lines) + "\n"


class FakeApi:
    """The two ports, on free ones unless `port` says where. A context manager."""

    def __init__(self, stage: Stage, port: int = 0) -> None:
        self.stage = stage
        self._servers = [ThreadingHTTPServer(("127.0.0.1", at), _handler(stage)) for at in (port, port and port + 1)]
        self.url, self.admin_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def __enter__(self) -> FakeApi:
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _handler(stage: Stage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            limit = int(parse_qs(parts.query).get("limit", ["20"])[0])
            match parts.path.split("/")[1:]:
                case ["v1", "rooms"]:
                    self._give("/v1/rooms", stage.listed(limit))
                case ["v1", "map"]:
                    self._give("/v1/map", stage.map(limit), 200 if stage.takes_map else 404, "no such path: /v1/map")
                case ["v1", "rooms", room]:
                    number = int(room.removeprefix("room-")) if room.removeprefix("room-").isdigit() else 10**9
                    live = stage.room(number) if number < stage.rooms else None
                    self._give("/v1/rooms/{room}", live, 200 if live else 404, f"room {room} is not live")
                case ["v1", "rooms", _, "similar"]:
                    self._give("/v1/rooms/{room}/similar", stage.answer(Query(viewer="x", limit=limit)).rooms)
                case ["v1", "search"] if not stage.takes_search:
                    self._give("/v1/search", None, 404, "no such path: /v1/search")
                case ["v1", "search"]:
                    status = 200 if stage.reads_texts else 503
                    time.sleep(stage.reads_for_s)
                    found = search(parse_qs(parts.query)["q"][0], stage.listed(60) if stage.encoded else [], limit)
                    self._give("/v1/search", found, status, AWAY)
                case ["v1", "models"]:
                    self._give("/v1/models", stage.listed_versions())
                case ["v1", "viewers"]:
                    known = KnownViewers(held=2, viewers=["v000042", "v000007"])
                    self._give("/v1/viewers", known, stage.admin, "needs admin", "authorization")
                case ["v1", "viewers", viewer]:
                    found_viewer = stage.seen(viewer)
                    said = f"viewer {viewer} has no profile"
                    self._give("/v1/viewers/{viewer}", found_viewer, 200 if found_viewer else 404, said, "viewer")
                case ["v1", "rules"]:
                    self._give("/v1/rules", [*stage.rules.values()], stage.admin, "needs admin", "authorization")
                case ["v1", "rules", name]:
                    self._give("/v1/rules/{name}", stage.rules.get(name), 200 if name in stage.rules else 404)
                case ["readyz"]:
                    self._give("/readyz", stage.readiness(), 200 if stage.up else 503)
                case ["v1", "status"]:
                    self._give("/v1/status", stage.status())
                case ["metrics"]:
                    self._give("/metrics", stage.metrics().encode())
                case ["openapi.json"]:
                    paths = ["/v1/rooms", "/v1/recommend", *(["/v1/chat"] if stage.takes_chat else [])]
                    self._give("/openapi.json", {"openapi": "3.1.0", "paths": {path: {} for path in paths}})
                case _:
                    self._give(parts.path, None, 404, "no such path")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == "/v1/models/rollback":
                stage.put_live("m1796143790", "retired")
                self._give(self.path, RolledBack(was="m1796143850", live="m1796143790"))
            elif self.path.startswith("/v1/models/"):
                version = self.path.split("/")[3]
                stage.put_live(version, "before")
                self._give("/v1/models/{version}/promote", Promoted(version=version, reason="put live by hand"))
            elif self.path == "/v1/recommend":
                try:
                    self._give(self.path, stage.answer(QUERY.decode(body)))
                except msgspec.ValidationError as err:
                    self._give(self.path, None, 400, str(err).partition(" - ")[0], "goals")
            elif self.path == "/v1/recommend:batch":
                self._give(self.path, stage.batch(QUERIES.decode(body)["queries"]))
            elif self.path == "/v1/chat" and stage.refusal:
                self._give(self.path, None, 403, stage.refusal)
            elif self.path == "/v1/viewer-events" and not stage.refusal:
                done = EVENT_LINES.decode_lines(body)
                stage.done += done
                verdicts = [{"index": index, "accepted": True} for index in range(len(done))]
                self._give(self.path, {"accepted": len(done), "refused": 0, "verdicts": verdicts})
            elif self.path == "/v1/chat" and stage.takes_chat:
                by_line = self.headers["content-type"] == "application/x-ndjson"
                lines = LINES.decode_lines(body) if by_line else CHAT.decode(body)
                stage.chat += lines
                verdicts = [{"index": index, "accepted": True} for index in range(len(lines))]
                self._give(self.path, {"accepted": len(lines), "refused": 0, "verdicts": verdicts})
            else:
                self._give(self.path, None, 404, "no such path")

        def _give(self, route: str, value: object, status: int = 200, wrong: str = "", about: str = "") -> None:
            stage.asked[route] += 1
            kind = "application/json"
            if not stage.up and route != "/readyz":
                status, wrong = 503, READING
            if status != 200 and route != "/readyz":
                field = about or ("authorization" if stage.key_refused and status == 403 else UNSET)
                kind = CONTENT_TYPE
                value = Problem(type="/docs#problems", title="", status=status, detail=wrong, field=field)
            body = value if isinstance(value, bytes) else msgspec.json.encode(value)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


if __name__ == "__main__":
    with FakeApi(Stage(rooms=int(sys.argv[2]) if len(sys.argv) > 2 else 60), int(sys.argv[1])):
        threading.Event().wait()
