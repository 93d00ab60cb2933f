"""The scoring of a request: candidates, then their scores by the version in force. Never diversifies, never explains.

The baseline ranker scores by `baseline_score.py`. A version with a ranker ranks the best of these candidates. A version
without one scores like the baseline, with the towers' product for the cosine; so does one whose ranker fails a request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from actors.index.nearest import Products
from actors.recommend.baseline_score import LANGUAGE, Company, Score, ScoreInputs
from actors.recommend.candidates import ENOUGH, Candidates
from actors.recommend.model_ranking import Ranking
from actors.recommend.reasons import LIVE, Reasons
from actors.recommend.rule_effects import Pin, RuleEffects
from actors.recommend.schema import Query, ReasonSource
from actors.recommend.viewer_cache import CachedViewer
from actors.requests.filters import NO_FILTERS
from actors.requests.goals import AskedGoals, ConfiguredGoals, Goals, IgnoredWeight
from actors.requests.pull import Pull
from actors.requests.room_filter import NONE, Slots
from actors.requests.treatments import NONE as UNTREATED
from actors.requests.treatments import Treatment
from actors.requests.wanted_goals import WantedGoals, wanted_goals
from actors.state.circuit_breaker import CircuitBreaker
from actors.state.demands import Demands
from actors.state.room_embeddings import LiveEmbeddings, ModelEmbeddings
from actors.state.shown_table import ShownTable
from streaming.errors import VersionError
from streaming.events import RoomId, ViewerId
from training.features.compiling import FLOATS, INTEGERS, kernel
from training.inference.log_odds import LOG_ODDS, raised

Floats = NDArray[np.float32]

LEAST, MOST = 1e-6, 1 - 1e-6  # float32 cannot tell probabilities nearer to 0 or 1 from these
SCORE_DIGITS = 4  # a fifth means nothing, and all 17 of a float take as long to serialise as the rest of an item
UNITS = 10.0**SCORE_DIGITS
APART = 1_000.0  # log odds, more than costs of likeness can bridge


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """K rooms that may be shown, the best first, after those with pins. terms: what the k-th room's score consists of.

    origin: the streamer whose viewers count as "others"; "" where these are counted otherwise. pins: places of rooms
    among them by operators' rules, in order.
    """

    slots_K: NDArray[np.int64]
    values_K: NDArray[np.float64]  # by which they are ordered, descending
    scores_K: NDArray[np.float64]  # as shown in the answer
    terms: Callable[[int], dict[str, float]]
    causes: Callable[[NDArray[np.int64]], list[ReasonSource]]  # what moved the rooms at some places most
    origin: str = ""
    pins: tuple[Pin, ...] = ()
    has_heads: bool = False  # whether a ranker's heads scored them, so that goals count
    ignored: tuple[IgnoredWeight, ...] = ()  # weights of the goals for which that version has no head


class Plan(NamedTuple):
    """What an answer for a viewer is made with: their variants, the rules that they are under, what the list is for."""

    treatment: Treatment
    effects: RuleEffects
    goals: WantedGoals


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    """N candidates that may be shown, the best by the baseline ranker first. scores_N: rounded. alike_N: by slot.

    losses: what the scores have lost, by term, float32 [N] each: by a lack of interest, by having been shown. pulled_N:
    what they have gained by a steer, less than 0 for a loss; None without one. ruled_N: what operators' rules add.
    """

    slots_N: NDArray[np.int64]
    scores_N: NDArray[np.float64]
    alike_N: Floats | None
    company: Company
    losses: Mapping[str, Floats]
    pulled_N: Floats | None = None
    ruled_N: Floats | None = None


@kernel(exact=True)
def ordered(probability_N: Floats, most: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The `most` most probable, in descending order: positions, log odds and probabilities, rounded. Empty on a NaN.

    Rooms are ordered by log odds, because costs of likeness are subtracted, for which a probability leaves no room.
    """
    best_K, num = np.empty(min(most, len(probability_N)), np.int64), 0
    for n in range(len(probability_N)):
        if not np.isfinite(probability_N[n]):
            num = 0
            break
        if num < len(best_K):
            num += 1
        elif num == 0 or probability_N[best_K[num - 1]] >= probability_N[n]:
            continue
        place = num - 1
        while place > 0 and probability_N[best_K[place - 1]] < probability_N[n]:
            best_K[place] = best_K[place - 1]
            place -= 1
        best_K[place] = n
    best_K = best_K[:num]
    odds_K, rounded_K = np.empty(len(best_K)), np.empty(len(best_K))
    for k in range(len(best_K)):
        probability = probability_N[best_K[k]]
        sure = min(max(probability, LEAST), MOST)
        odds_K[k] = np.rint(np.log(sure / (1 - sure)) * UNITS) / UNITS
        rounded_K[k] = np.rint(probability * UNITS) / UNITS
    return best_K, odds_K, rounded_K


@kernel(exact=True)
def rounded(
    scores_K: Floats, slots_K: Slots, tie_S: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores rounded as they are shown, float64 [K], and by what to sort them: the best first, equals by their ties."""
    values_K, key_K = np.empty(len(scores_K)), np.empty(len(scores_K))
    for k in range(len(scores_K)):
        units = np.rint(np.float64(scores_K[k]) * UNITS)
        values_K[k], key_K[k] = units / UNITS, -units - tie_S[slots_K[k]]
    return values_K, key_K


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    return {ordered: (FLOATS, types.int64), rounded: (FLOATS, INTEGERS, types.float64[::1])}


class Scoring:
    """Finds and scores rooms for a viewer under a version. The caller holds the tables' lock."""

    def __init__(
        self,
        candidates: Candidates,
        score: Score,
        reasons: Reasons,
        ranking: Ranking,
        demands: Demands,
        *,
        effects: RuleEffects,
        goals: ConfiguredGoals,
        ranked: int,
        failures: CircuitBreaker,
        shown: ShownTable | None = None,
    ) -> None:
        """ranked: how many candidates a ranker gets, the best by the baseline ranker's terms; 0: all.

        Where more rooms are asked for, as many again are ranked, and come after these. shown: what viewers were shown
        and did not enter; None: it changes nothing.
        """
        self._candidates = candidates
        self._score = score
        self._reasons = reasons
        self._demands = demands
        self._effects = effects
        self._goals = goals
        self._ranked = ranked
        self._ranking = ranking
        self._failures = failures
        self._shown = shown

    def plan(self, asked: AskedGoals, treatment: Treatment = UNTREATED) -> Plan:
        """What an answer is made with. Every path asks here. asked: the request's goals. treatment: of its viewer.

        Raises RequestError: there are no goals of the name that was asked for, under whatever version.
        """
        effects = self._effects.under(treatment.rules_on, treatment.rules_off)
        return Plan(treatment, effects, wanted_goals(asked, treatment.goals, effects.goals(), self._goals))

    def of(self, query: Query, cached: CachedViewer, embeddings: LiveEmbeddings, now_ms: int) -> Scored:
        """The scored rooms for a query. Raises whatever the version raises; VersionError: it gives no numbers.

        They are at least as many as the query's limit, where so many may be shown. The first ones do not depend on it.
        """
        plan = self.plan(query.goals)
        offer = self._offer(query, cached, embeddings, now_ms, effects=plan.effects)
        if isinstance(embeddings, ModelEmbeddings) and embeddings.model.ranks and len(offer.slots_N):
            return self._by_model(offer, cached, embeddings, now_ms, limit=query.limit, goals=plan.goals.goals)
        return self._by_terms(offer, cached, now_ms)

    def surely(
        self,
        query: Query,
        cached: CachedViewer,
        embeddings: LiveEmbeddings,
        now_ms: int,
        *,
        shown_H: Slots = NONE,
        before: int = 0,
        pull: Pull | None = None,
        plan: Plan,
    ) -> Scored:
        """The scored rooms for a query, come what may: where the version fails, that is noted, and the baseline scores.

        shown_H: live rooms of earlier pages, which do not come again. before: number of rooms on these, live or not.
        pull: of a steer.
        To score then takes no more time than with the baseline ranker in force: the candidates are there already.
        """
        offer = self._offer(query, cached, embeddings, now_ms, effects=plan.effects, shown_H=shown_H, pull=pull)
        pins = plan.effects.pins(offer.slots_N, before)
        if plan.treatment.by_baseline:
            scored = self._by_terms(offer, cached, now_ms)
        else:
            offer = _first(offer, [pin for pin in pins if pin.index < query.limit])
            scored = self._surely(offer, cached, embeddings, now_ms, limit=query.limit, goals=plan.goals.goals)
        return replace(scored, pins=pins) if pins else scored

    def never(self, viewer: str, cached: CachedViewer) -> Collection[RoomId]:
        """Live rooms that the viewer is never shown: hidden ones, those of blocked streamers, and their own."""
        return {*self._demands.never(viewer, cached.interests.rules)}

    def given(
        self,
        viewer: str,
        slots_G: NDArray[np.int64],
        cached: CachedViewer,
        embeddings: LiveEmbeddings,
        now_ms: int,
        *,
        plan: Plan,
    ) -> Scored:
        """The scored rooms with these live ones among them, come what may; a ranker gets all of these.

        The others are what a request without filters, for `ranked` rooms at most, chooses from. So a reason is what a
        room has above the same average as there, and a ranker's probability is one among the same rooms, whatever else
        is given.
        """
        candidates, visited, effects = self._candidates, cached.visited, plan.effects
        others_R = self._offer(Query(viewer=viewer), cached, embeddings, now_ms, effects=effects).slots_N
        if isinstance(embeddings, ModelEmbeddings) and embeddings.model.ranks and self._ranked:
            others_R = others_R[: self._ranked]
        slots_N = np.concatenate([others_R, slots_G, visited.slots_V])
        shown_K = candidates.among(slots_N, slots_N[: len(others_R) + len(slots_G)])
        alike = candidates.alike(cached.query_E, embeddings.index)
        offer = self._scored_offer(slots_N, shown_K, cached, alike, now_ms, viewer=viewer, effects=effects)
        if plan.treatment.by_baseline:
            return self._by_terms(offer, cached, now_ms)
        limit, goals = len(offer.slots_N), plan.goals.goals
        return self._surely(offer, cached, embeddings, now_ms, limit=limit, goals=goals, among_R=others_R)

    def _surely(
        self,
        offer: _Offer,
        cached: CachedViewer,
        embeddings: LiveEmbeddings,
        now_ms: int,
        *,
        limit: int,
        goals: Goals,
        among_R: NDArray[np.int64] | None = None,
    ) -> Scored:
        """The scored candidates; where the version fails, that is noted, and the baseline scores."""
        if isinstance(embeddings, ModelEmbeddings) and embeddings.model.ranks and len(offer.slots_N):
            try:
                scored = self._by_model(offer, cached, embeddings, now_ms, limit=limit, goals=goals, among_R=among_R)
            except Exception as err:  # whatever a version does, a viewer has an answer
                self._failures.note(embeddings.version, err, now_ms)
            else:
                if cached.viewer is not None:  # else the viewer tower was not asked, and may be what fails
                    self._failures.clear(embeddings.version)
                return scored
        return self._by_terms(offer, cached, now_ms)

    def _offer(
        self,
        query: Query,
        cached: CachedViewer,
        embeddings: LiveEmbeddings,
        now_ms: int,
        *,
        effects: RuleEffects,
        shown_H: Slots = NONE,
        pull: Pull | None = None,
    ) -> _Offer:
        candidates, interests, visited, filters = self._candidates, cached.interests, cached.visited, query.filters
        alike = candidates.alike(cached.query_E, embeddings.index)
        never = self.never(query.viewer, cached)
        hidden_H = candidates.filter.hidden([*query.exclude, *never], query.exclude_streamers, interests.room)
        if len(shown_H):
            hidden_H = np.union1d(hidden_H, shown_H)
        if pull is not None:
            hidden_H = np.union1d(hidden_H, pull.disliked_H)
        slots_N = shown_K = NONE
        ruled = effects.candidates()
        if filters is NO_FILTERS or filters == NO_FILTERS:
            open_S = candidates.filter.open(filters)
            nearest = candidates.nearest(alike, open_S)
            if pull is not None:
                nearest = np.concatenate([nearest, candidates.pulled(pull.gain_S, np.flatnonzero(open_S))])
            top_C = NONE if cached.affinity is None else cached.affinity.top_C
            slots_N = _joined(ruled, candidates.union(visited, interests, top_C, nearest))
            shown_K = candidates.may_be_shown(slots_N, filters, now_ms, hidden_H)
        most = candidates.filter.num_open(filters, hidden_H)
        if len(shown_K) < max(ENOUGH, 2 * max(len(query.exclude), len(hidden_H))) and len(shown_K) < most:
            allowed = candidates.filter.allowed(filters, now_ms, hidden_H)
            slots_N = _joined(ruled, candidates.union_allowed(visited, interests, alike, allowed))
            if pull is not None:
                slots_N = np.concatenate([candidates.pulled(pull.gain_S, allowed), slots_N])
            shown_K = candidates.may_be_shown(slots_N, filters, now_ms, hidden_H)
        gain_S = None if pull is None else pull.gain_S
        return self._scored_offer(
            slots_N, shown_K, cached, alike, now_ms, viewer=query.viewer, effects=effects, gain_S=gain_S
        )

    def _scored_offer(
        self,
        slots_N: NDArray[np.int64],
        shown_K: NDArray[np.int64],
        cached: CachedViewer,
        alike: Products | None,
        now_ms: int,
        *,
        viewer: str,
        effects: RuleEffects,
        gain_S: Floats | None = None,
    ) -> _Offer:
        """The candidates at positions shown_K, the baseline's best first. slots_N ends with those visited.

        gain_S: what scores gain by a steer, by slot.
        """
        company = self._score.company(cached.interests, now_ms)
        alike_N = None
        if alike is not None:
            alike.settle(slots_N)
            alike_N = alike.product_S
        slots_K, scores_K = self._score.of(slots_N, shown_K, cached.affinity, alike_N, cached.visited, company=company)
        losses = self._losses(viewer, cached, slots_K, now_ms)
        for lost_K in losses.values():
            scores_K = scores_K - lost_K
        pulled_K = None if gain_S is None else gain_S[slots_K]
        ruled_K = effects.gains(slots_K)
        for gained_K in (pulled_K, ruled_K):
            if gained_K is not None:
                scores_K = scores_K + gained_K
        values_K, key_K = rounded(scores_K, slots_K, self._candidates.tie_S)
        order_K = key_K.argsort()
        losses = {term: lost_K[order_K] for term, lost_K in losses.items()}
        pulled_N = None if pulled_K is None else pulled_K[order_K]
        ruled_N = None if ruled_K is None else ruled_K[order_K]
        return _Offer(slots_K[order_K], values_K[order_K], alike_N, company, losses, pulled_N, ruled_N)

    def _losses(self, viewer: str, cached: CachedViewer, slots_K: NDArray[np.int64], now_ms: int) -> dict[str, Floats]:
        """What the rooms lose of their scores, by term, float32 [K] each."""
        event_now_ms = self._score.event_now_ms(now_ms)
        losses = {"not_interested": self._demands.costs(cached.interests.rules, slots_K, event_now_ms)}
        if self._shown is not None:
            losses["shown"] = self._shown.lost(ViewerId(viewer), slots_K, event_now_ms)
        return {term: lost_K for term, lost_K in losses.items() if lost_K is not None}

    def _by_terms(self, offer: _Offer, cached: CachedViewer, now_ms: int) -> Scored:
        slots_K, values_K = offer.slots_N, offer.scores_N

        asked = ScoreInputs(cached.affinity, offer.alike_N, cached.visited, offer.company)

        def terms(place: int) -> dict[str, float]:
            return {**self._score.terms(asked, int(slots_K[place])), **_changed(offer, place, np.float32(1))}

        def causes(places_L: NDArray[np.int64]) -> list[ReasonSource]:
            return self._reasons.of_terms(asked, slots_K, places_L, now_ms, offer.pulled_N)

        return Scored(slots_K, values_K, values_K, terms, causes, origin=cached.interests.origin or "")

    def _by_model(
        self,
        offer: _Offer,
        cached: CachedViewer,
        embeddings: ModelEmbeddings,
        now_ms: int,
        *,
        limit: int,
        goals: Goals,
        among_R: NDArray[np.int64] | None = None,
    ) -> Scored:
        """among_R: rooms among which probabilities are, and all candidates are ranked at once; None: block by block."""
        block = len(offer.slots_N) if among_R is not None else self._ranked or len(offer.slots_N)
        slots_N = offer.slots_N[: -(-limit // block) * block]
        asked = self._ranking.rank(embeddings, slots_N, cached, now_ms)
        ranked, scale = asked.rooms, 1.0
        if among_R is not None and len(among_R):
            alone = self._ranking.rank(embeddings, among_R, cached, now_ms).rooms
            scale = float(alone.enter_N.sum()) / max(float(ranked.enter_N[np.isin(slots_N, among_R)].sum()), LEAST)
        preferred_N = self._preferred(slots_N, cached)
        pulled_N = None if offer.pulled_N is None else offer.pulled_N[: len(slots_N)] * LOG_ODDS
        enter_N = ranked.enter_N if scale == 1 else np.minimum(ranked.enter_N * np.float32(scale), np.float32(1))
        enter_N = raised(raised(enter_N, preferred_N), pulled_N)
        heads = (ranked.stay_N, ranked.interact_N, ranked.leave_N)
        worth_N = None if goals.are_default else goals.worth(enter_N, *heads)
        if worth_N is not None:
            enter_N = worth_N
        for lost_N in offer.losses.values():
            enter_N = raised(enter_N, -lost_N[: len(slots_N)] * LOG_ODDS)
        if offer.ruled_N is not None:
            enter_N = raised(enter_N, offer.ruled_N[: len(slots_N)])
        best_K, odds_K, enter_K = ordered(enter_N[:block], block)
        for start in range(
            block, len(slots_N), block
        ):  # only for a large limit, which does not change what comes first
            more_K, more_odds_K, more_enter_K = ordered(enter_N[start : start + block], block)
            best_K = np.concatenate([best_K, more_K + start])
            odds_K = np.concatenate([odds_K, more_odds_K - APART * (start // block)])
            enter_K = np.concatenate([enter_K, more_enter_K])
        if len(best_K) < len(slots_N):
            raise VersionError(f"version {embeddings.version} scores rooms with what is not a number")

        def terms(place: int) -> dict[str, float]:
            at = best_K[place]
            slot = int(slots_N[at])
            return {
                **({} if preferred_N is None else {"preferred": float(preferred_N[at])}),
                **({} if worth_N is None else {"goals": float(worth_N[at])}),
                "enter": float(ranked.enter_N[at]) * scale,
                "stay": float(ranked.stay_N[at]),
                "interact": float(ranked.interact_N[at]),
                **({} if ranked.leave_N is None else {"leave": float(ranked.leave_N[at])}),
                "dot": float(embeddings.rooms.vectors_NE[slot] @ cached.viewer.vector_E) if cached.viewer else 0.0,
                "gate": float(embeddings.rooms.content_gate_N[slot]),
                **_changed(offer, int(at), LOG_ODDS),
            }

        def causes(places_L: NDArray[np.int64]) -> list[ReasonSource]:
            try:
                sources = self._reasons.of_falls(
                    asked, slots_N, best_K[places_L], now_ms, preferred_N=preferred_N, gains_N=pulled_N
                )
            except Exception as err:  # whatever a version does, a viewer has an answer, and a true reason
                self._failures.note(embeddings.version, err, now_ms, "reasons")
                return [LIVE] * len(places_L)
            self._failures.clear(embeddings.version, "reasons")
            return sources

        ignored: tuple[IgnoredWeight, ...] = ("leave",) if goals.leave and ranked.leave_N is None else ()
        return Scored(slots_N[best_K], odds_K, enter_K, terms, causes, has_heads=True, ignored=ignored)

    def _preferred(self, slots_N: NDArray[np.int64], cached: CachedViewer) -> Floats | None:
        """What a preferred language adds to the log odds of rooms, float32 [N]: the baseline's weight of a language.

        None where none is preferred. A ranker knows languages by visits alone.
        """
        if not cached.interests.preferred:
            return None
        in_preferred_N = self._candidates.in_preferred(slots_N, cached.interests)
        more_N: Floats = in_preferred_N * self._score.weight_T[LANGUAGE]
        return more_N


def _changed(offer: _Offer, place: int, unit: np.float32) -> dict[str, float]:
    """The terms by which a room is lowered, pulled by a steer or moved by rules; none where nothing changed."""
    terms = {term: float(-lost_N[place] * unit) for term, lost_N in offer.losses.items() if lost_N[place]}
    if offer.pulled_N is not None:
        terms["steer"] = float(offer.pulled_N[place] * unit)
    if offer.ruled_N is not None and offer.ruled_N[place]:
        terms["rules"] = float(offer.ruled_N[place])
    return terms


def _joined(ruled: Slots, slots_N: Slots) -> Slots:
    """Candidates with those of operators' rules before them; the same array where there are none."""
    return np.concatenate([ruled, slots_N]) if len(ruled) else slots_N


def _first(offer: _Offer, pins: Sequence[Pin]) -> _Offer:
    """The candidates with pinned ones first, so that a ranker gets these in any case."""
    if not pins:
        return offer
    is_pinned_N = np.isin(offer.slots_N, [pin.slot for pin in pins])
    order_N = np.argsort(~is_pinned_N, kind="stable")
    return replace(
        offer,
        slots_N=offer.slots_N[order_N],
        scores_N=offer.scores_N[order_N],
        losses={term: lost_N[order_N] for term, lost_N in offer.losses.items()},
        pulled_N=None if offer.pulled_N is None else offer.pulled_N[order_N],
        ruled_N=None if offer.ruled_N is None else offer.ruled_N[order_N],
    )
