"""A method for each operation of the API. Never opens a connection.

Made from the OpenAPI document by `make client`; changes are lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UnsetType

from tidecast_client.call import Call, parameters, segment
from tidecast_client.event_stream import Event
from tidecast_client.types import (
    DEFAULT_FILTERS,
    Answer,
    BatchAnswer,
    BatchQuery,
    ChatMessage,
    Context,
    DeletedRule,
    Erased,
    Filters,
    Goals,
    Item,
    KnownViewers,
    ListedVersions,
    Promoted,
    PutRule,
    Query,
    RankAnswer,
    RankQuery,
    Readiness,
    RolledBack,
    Room,
    RoomEnded,
    RoomMap,
    RoomStarted,
    RoomUpdated,
    Rule,
    RuleBody,
    SearchAnswer,
    SeenViewer,
    Speech,
    Steer,
    Verdicts,
    ViewerEvent,
)

T = TypeVar("T")
encode = msgspec.json.Encoder().encode


class Methods:
    """The operations. Each raises NotReachable, UnexpectedAnswer, ProblemError."""

    def ask(self, call: Call[T]) -> T:
        """Sends a request and reads its answer."""
        raise NotImplementedError

    def write(self, path: str, records: Iterable[Any], key: str = "") -> Verdicts:
        """Sends records. key: the Idempotency-Key, "" for a new one."""
        raise NotImplementedError

    def events(self, call: Call[Event]) -> Iterator[Event]:
        """Opens a stream of server-sent events."""
        raise NotImplementedError

    def recommend(
        self,
        viewer: str,
        *,
        limit: int = 20,
        exclude: Sequence[str] = (),
        exclude_streamers: Sequence[str] = (),
        filters: Filters = DEFAULT_FILTERS,
        context: Context | None = None,
        cursor: str | None = None,
        steer: Steer | None = None,
        goals: str | Goals | None = None,
        explain: bool = False,
        shown: bool = True,
        reason_language: str | None = None,
        version: str = "",
    ) -> Answer:
        """Rooms for a viewer, best first."""
        return self.ask(
            Call(
                "POST",
                "/v1/recommend",
                Answer,
                body=encode(
                    Query(
                        viewer=viewer,
                        limit=limit,
                        exclude=exclude,
                        exclude_streamers=exclude_streamers,
                        filters=filters,
                        context=context,
                        cursor=cursor,
                        steer=steer,
                        goals=goals,
                        explain=explain,
                        shown=shown,
                        reason_language=reason_language,
                        version=version,
                    )
                ),
            )
        )

    def recommend_pages(
        self,
        viewer: str,
        *,
        limit: int = 20,
        exclude: Sequence[str] = (),
        exclude_streamers: Sequence[str] = (),
        filters: Filters = DEFAULT_FILTERS,
        context: Context | None = None,
        steer: Steer | None = None,
        goals: str | Goals | None = None,
        explain: bool = False,
        shown: bool = True,
        reason_language: str | None = None,
        version: str = "",
    ) -> Iterator[Answer]:
        """Rooms for a viewer, best first: page by page, each of `limit`; nothing comes twice."""
        cursor: str | UnsetType | None = ""
        while isinstance(cursor, str):
            answer = self.recommend(
                viewer=viewer,
                limit=limit,
                exclude=exclude,
                exclude_streamers=exclude_streamers,
                filters=filters,
                context=context,
                steer=steer,
                goals=goals,
                explain=explain,
                shown=shown,
                reason_language=reason_language,
                version=version,
                cursor=cursor,
            )
            yield answer
            cursor = answer.cursor

    def rooms(
        self,
        *,
        limit: int = 20,
        language: str | None = None,
        category: str | None = None,
        mature: bool | Literal["any"] | None = None,
        tags: str | Sequence[str] | None = None,
        tags_match: Literal["all", "any"] = "all",
        min_audience: int | None = None,
        max_audience: int | None = None,
        min_age_s: int | None = None,
        max_age_s: int | None = None,
        max_receipt_age_ms: int | None = None,
        exclude_streamers: str | Sequence[str] | None = None,
    ) -> list[Room]:
        """Live rooms, largest audience first."""
        return self.ask(
            Call(
                "GET",
                "/v1/rooms",
                list[Room],
                query=parameters(
                    {
                        "limit": limit,
                        "language": language,
                        "category": category,
                        "mature": mature,
                        "tags": tags,
                        "tags_match": tags_match,
                        "min_audience": min_audience,
                        "max_audience": max_audience,
                        "min_age_s": min_age_s,
                        "max_age_s": max_age_s,
                        "max_receipt_age_ms": max_receipt_age_ms,
                        "exclude_streamers": exclude_streamers,
                    }
                ),
            )
        )

    def write_rooms(
        self, records: Iterable[RoomStarted | RoomUpdated | RoomEnded], *, idempotency_key: str = ""
    ) -> Verdicts:
        """Rooms that start, change or end. Any number of them: a verdict on each, once Kafka has those accepted."""
        return self.write("/v1/rooms", records, idempotency_key)

    def room(self, room: str) -> Room:
        """One live room."""
        return self.ask(Call("GET", f"/v1/rooms/{segment(room)}", Room))

    def similar_rooms(
        self,
        room: str,
        *,
        limit: int = 20,
        language: str | None = None,
        category: str | None = None,
        mature: bool | Literal["any"] | None = None,
        tags: str | Sequence[str] | None = None,
        tags_match: Literal["all", "any"] = "all",
        min_audience: int | None = None,
        max_audience: int | None = None,
        min_age_s: int | None = None,
        max_age_s: int | None = None,
        max_receipt_age_ms: int | None = None,
        exclude_streamers: str | Sequence[str] | None = None,
    ) -> list[Item]:
        """Live rooms like this one."""
        return self.ask(
            Call(
                "GET",
                f"/v1/rooms/{segment(room)}/similar",
                list[Item],
                query=parameters(
                    {
                        "limit": limit,
                        "language": language,
                        "category": category,
                        "mature": mature,
                        "tags": tags,
                        "tags_match": tags_match,
                        "min_audience": min_audience,
                        "max_audience": max_audience,
                        "min_age_s": min_age_s,
                        "max_age_s": max_age_s,
                        "max_receipt_age_ms": max_receipt_age_ms,
                        "exclude_streamers": exclude_streamers,
                    }
                ),
            )
        )

    def recommend_batch(self, queries: Sequence[Query]) -> BatchAnswer:
        """Up to 100 recommendations, each with its own answer or problem."""
        return self.ask(Call("POST", "/v1/recommend:batch", BatchAnswer, body=encode(BatchQuery(queries=queries))))

    def rank(
        self,
        viewer: str,
        *,
        rooms: Sequence[str],
        context: Context | None = None,
        goals: str | Goals | None = None,
        explain: bool = False,
        reason_language: str | None = None,
    ) -> RankAnswer:
        """Given rooms for a viewer, best first."""
        return self.ask(
            Call(
                "POST",
                "/v1/rank",
                RankAnswer,
                body=encode(
                    RankQuery(
                        viewer=viewer,
                        rooms=rooms,
                        context=context,
                        goals=goals,
                        explain=explain,
                        reason_language=reason_language,
                    )
                ),
            )
        )

    def trending(
        self,
        *,
        limit: int = 20,
        language: str | None = None,
        category: str | None = None,
        mature: bool | Literal["any"] | None = None,
        tags: str | Sequence[str] | None = None,
        tags_match: Literal["all", "any"] = "all",
        min_audience: int | None = None,
        max_audience: int | None = None,
        min_age_s: int | None = None,
        max_age_s: int | None = None,
        max_receipt_age_ms: int | None = None,
        exclude_streamers: str | Sequence[str] | None = None,
    ) -> list[Item]:
        """Live rooms that viewers come to now, or where chat rises, for nobody in particular."""
        return self.ask(
            Call(
                "GET",
                "/v1/trending",
                list[Item],
                query=parameters(
                    {
                        "limit": limit,
                        "language": language,
                        "category": category,
                        "mature": mature,
                        "tags": tags,
                        "tags_match": tags_match,
                        "min_audience": min_audience,
                        "max_audience": max_audience,
                        "min_age_s": min_age_s,
                        "max_age_s": max_age_s,
                        "max_receipt_age_ms": max_receipt_age_ms,
                        "exclude_streamers": exclude_streamers,
                    }
                ),
            )
        )

    def search(
        self,
        q: str,
        *,
        limit: int = 20,
        language: str | None = None,
        category: str | None = None,
        mature: bool | Literal["any"] | None = None,
        tags: str | Sequence[str] | None = None,
        tags_match: Literal["all", "any"] = "all",
        min_audience: int | None = None,
        max_audience: int | None = None,
        min_age_s: int | None = None,
        max_age_s: int | None = None,
        max_receipt_age_ms: int | None = None,
        exclude_streamers: str | Sequence[str] | None = None,
        cursor: str | None = None,
    ) -> SearchAnswer:
        """Live rooms by a text, most like it first."""
        return self.ask(
            Call(
                "GET",
                "/v1/search",
                SearchAnswer,
                query=parameters(
                    {
                        "q": q,
                        "limit": limit,
                        "language": language,
                        "category": category,
                        "mature": mature,
                        "tags": tags,
                        "tags_match": tags_match,
                        "min_audience": min_audience,
                        "max_audience": max_audience,
                        "min_age_s": min_age_s,
                        "max_age_s": max_age_s,
                        "max_receipt_age_ms": max_receipt_age_ms,
                        "exclude_streamers": exclude_streamers,
                        "cursor": cursor,
                    }
                ),
            )
        )

    def viewers(self, *, limit: int = 20) -> KnownViewers:
        """Some viewers whose profiles this replica holds, those heard of or asked for latest first."""
        return self.ask(Call("GET", "/v1/viewers", KnownViewers, query=parameters({"limit": limit})))

    def viewer(self, viewer: str) -> SeenViewer:
        """A viewer as the platform sees them: visits, habits, and the interests that the score uses."""
        return self.ask(Call("GET", f"/v1/viewers/{segment(viewer)}", SeenViewer))

    def erase_viewer(self, viewer: str) -> Erased:
        """Forget a viewer: accepted once it is on the log."""
        return self.ask(Call("DELETE", f"/v1/viewers/{segment(viewer)}", Erased))

    def map_rooms(
        self, *, limit: int = 300, mature: bool | Literal["any"] | None = None, axes: str | None = None
    ) -> RoomMap:
        """Live rooms by content in two dimensions; who gives `axes` back sees rooms stay where they are."""
        return self.ask(
            Call("GET", "/v1/map", RoomMap, query=parameters({"limit": limit, "mature": mature, "axes": axes}))
        )

    def stream(
        self,
        viewer: str,
        *,
        limit: int = 20,
        language: str | None = None,
        category: str | None = None,
        mature: bool | Literal["any"] | None = None,
        tags: str | Sequence[str] | None = None,
        tags_match: Literal["all", "any"] = "all",
        min_audience: int | None = None,
        max_audience: int | None = None,
        min_age_s: int | None = None,
        max_age_s: int | None = None,
        max_receipt_age_ms: int | None = None,
        exclude_streamers: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        recent: str | Sequence[str] | None = None,
        preferred_language: str | None = None,
        goals: str | None = None,
        last_event_id: str | None = None,
        max_s: float = 86400,
    ) -> Iterator[Event]:
        """A viewer's rooms, pushed when they change. Goes on over a new connection where one ends, without an end."""
        return self.events(
            Call(
                "GET",
                f"/v1/stream/{segment(viewer)}",
                Event,
                query=parameters(
                    {
                        "limit": limit,
                        "language": language,
                        "category": category,
                        "mature": mature,
                        "tags": tags,
                        "tags_match": tags_match,
                        "min_audience": min_audience,
                        "max_audience": max_audience,
                        "min_age_s": min_age_s,
                        "max_age_s": max_age_s,
                        "max_receipt_age_ms": max_receipt_age_ms,
                        "exclude_streamers": exclude_streamers,
                        "exclude": exclude,
                        "recent": recent,
                        "preferred_language": preferred_language,
                        "goals": goals,
                        "last_event_id": last_event_id,
                        "max_s": max_s,
                    }
                ),
            )
        )

    def write_chat(self, records: Iterable[ChatMessage | Speech], *, idempotency_key: str = "") -> Verdicts:
        """Chat messages, and what streamers say. Any number of them: a verdict on each, once Kafka has those
        accepted.
        """
        return self.write("/v1/chat", records, idempotency_key)

    def write_viewer_events(self, records: Iterable[ViewerEvent], *, idempotency_key: str = "") -> Verdicts:
        """What viewers do. Any number of them: a verdict on each, once Kafka has those accepted."""
        return self.write("/v1/viewer-events", records, idempotency_key)

    def models(self) -> ListedVersions:
        """Every version of the models, the newest first."""
        return self.ask(Call("GET", "/v1/models", ListedVersions))

    def promote_model(self, version: str) -> Promoted:
        """Put a version live, by hand: no gate is asked."""
        return self.ask(Call("POST", f"/v1/models/{segment(version)}/promote", Promoted, repeatable=False))

    def rollback_model(self) -> RolledBack:
        """Put live what was live before; retire what is."""
        return self.ask(Call("POST", "/v1/models/rollback", RolledBack, repeatable=False))

    def rules(self) -> list[Rule]:
        """Operators' rules, by name, in force or not."""
        return self.ask(Call("GET", "/v1/rules", list[Rule]))

    def rule(self, name: str) -> Rule:
        """One operator's rule."""
        return self.ask(Call("GET", f"/v1/rules/{segment(name)}", Rule))

    def put_rule(
        self,
        name: str,
        *,
        action: Literal["boost", "bury", "goals", "hide", "pin"],
        rooms: Sequence[str] = (),
        streamers: Sequence[str] = (),
        categories: Sequence[str] = (),
        languages: Sequence[str] = (),
        tags: Sequence[str] = (),
        weight: float = 1.0,
        position: int = 1,
        most: int = 1,
        starts_at_ms: int | None = None,
        ends_at_ms: int | None = None,
        enabled: bool = True,
        reason: str = "",
        goals: Mapping[str, float] = {},
    ) -> PutRule:
        """Pin, boost, bury or hide rooms, or say what lists are for: accepted once it is on the log, in force in a
        second or so.
        """
        return self.ask(
            Call(
                "PUT",
                f"/v1/rules/{segment(name)}",
                PutRule,
                body=encode(
                    RuleBody(
                        action=action,
                        rooms=rooms,
                        streamers=streamers,
                        categories=categories,
                        languages=languages,
                        tags=tags,
                        weight=weight,
                        position=position,
                        most=most,
                        starts_at_ms=starts_at_ms,
                        ends_at_ms=ends_at_ms,
                        enabled=enabled,
                        reason=reason,
                        goals=goals,
                    )
                ),
            )
        )

    def delete_rule(self, name: str) -> DeletedRule:
        """End a rule: accepted once it is on the log, whether there is one or not."""
        return self.ask(Call("DELETE", f"/v1/rules/{segment(name)}", DeletedRule))

    def health(self) -> dict[str, str]:
        """The process is up: for a liveness probe."""
        return self.ask(Call("GET", "/healthz", dict[str, str]))

    def readiness(self) -> Readiness:
        """Whether its answers are good, and how far it is behind: for a readiness probe."""
        return self.ask(Call("GET", "/readyz", Readiness, also=(503,)))
