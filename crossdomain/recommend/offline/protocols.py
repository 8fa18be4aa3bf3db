"""Protocols: what a model may learn from, whom it is asked about, and what is true.

Every protocol is nested: the test is cut off first, then the validation is cut off what is left in the same way,
and so on for further labels. So whatever is chosen on validation has not seen the test, not even which item it is.

Rejections are cut like interactions: what was rejected before a cut takes back earlier evidence, is not shown and is
not true; what was rejected later changes nothing before the cut, but is not true if it was met in between.

Items can be ranked if somebody met them before the cut, or if the catalogue dates them at or before it. Of a catalogue
without dates nobody knows which items came later: that these exist would tell what people met next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b

import numpy as np
import scipy.sparse as sp

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Bools, Ints
from crossdomain.recommend.offline.kernels import draw_unseen
from crossdomain.recommend.offline.log import UNDATED, Codes, Log

PROTOCOLS = ("temporal", "leave-one-out", "domain-cold", "given")
MOMENTS = ("event", "last")
DAY = 86_400
_GOES_WITH = {
    "negatives": ("leave-one-out", "given"),
    "strict": ("leave-one-out",),
    "moment": ("leave-one-out", "given"),
    "test_days": ("temporal",),
    "gap_days": ("temporal",),
    "cold_share": ("domain-cold",),
}
"""Protocols that a choice goes with; with others it must be left alone."""


@dataclass(frozen=True)
class Queries:
    """People who are asked about in one domain, at a moment, with what is true.

    Attributes:
        domain: Target domain.
        user: Person of each query.
        moment: Time of each query in seconds; 0 where the log has no times.
        truth: Queries × items; stored cells are what the person met next and did not reject, new to this person.
        candidates: Queries × number of items that are ranked, ascending, the true ones among them; None: all items.
    """

    domain: int
    user: Codes
    moment: Ints
    truth: sp.csr_matrix
    candidates: Codes | None = None

    def __len__(self) -> int:
        return len(self.user)

    def take(self, chosen: Ints) -> Queries:
        """Some of the queries."""
        candidates = None if self.candidates is None else self.candidates[chosen]
        return Queries(self.domain, self.user[chosen], self.moment[chosen], self.truth[chosen], candidates)


@dataclass(frozen=True)
class Stage:
    """One training and the queries that it is judged by.

    Attributes:
        train: What models learn from.
        history: What is known about the people who are asked about; they are folded in from it.
        catalogue: Items that can be ranked; see above.
        queries: One entry for each target domain that has queries.
        timeline: Where features that look at time read what happened before a query's moment; None: ``train``.
    """

    train: Log
    history: Log
    catalogue: Bools
    queries: tuple[Queries, ...]
    timeline: Log | None = None


@dataclass(frozen=True)
class Plan:
    """All stages of an evaluation, the test first.

    Attributes:
        protocol: Name of the protocol.
        test: Reported once.
        validation: Settings are chosen on it.
        labels: Earlier stages that add labels for the ranker.
        left_out: What of a given test is not asked for: pairs of person and item by reason.
    """

    protocol: str
    test: tuple[Stage, ...]
    validation: tuple[Stage, ...]
    labels: tuple[tuple[Stage, ...], ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Choices:
    """How a log is divided.

    Attributes:
        negatives: Sampled items that the person never met, beside the true one; 0 ranks all items.
        test_days: Length of the temporal test.
        gap_days: Days between the training and the temporal test.
        cold_share: Share of people whose target domain is hidden.
        label_stages: Earlier stages for the ranker's labels.
        max_people: Most people of a domain that validation and labels ask about.
        strict: leave-one-out only: into so many groups of equal size the queries are divided by their moment; each
            group's models learn from what happened before its first moment. 0: they learn from all training
            interactions, also those that others made later, as is usual with this protocol.
        moment: ``event``: a query is made when the true event happens; ``last``: at the person's last known event.
        seed: Seed of the negatives and of the hidden people.
    """

    negatives: int = 0
    test_days: int = 90
    gap_days: int = 0
    cold_share: float = 0.2
    label_stages: int = 2
    max_people: int = 20_000
    strict: int = 0
    moment: str = "event"
    seed: int = 7

    def __post_init__(self) -> None:
        if self.moment not in MOMENTS:
            raise InputError(f"--moment {self.moment}: give {' or '.join(MOMENTS)}")
        if not 0 < self.cold_share <= 0.5:
            raise InputError(f"--cold-share {self.cold_share}: give more than 0 and at most 0.5")


def make_plan(protocol: str, log: Log, choices: Choices, test: Log | None = None) -> Plan:
    """The stages of a protocol.

    Args:
        protocol: One of ``PROTOCOLS``.
        log: All interactions that are not in ``test``.
        choices: How it is divided.
        test: A fixed test set; ``given`` needs it, ``domain-cold`` may use it as truth.

    Raises:
        InputError: The protocol is unknown, lacks what it needs, or leaves nobody to ask about.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"--protocol {protocol}: give one of {', '.join(PROTOCOLS)}")
    for name, protocols in _GOES_WITH.items():
        if getattr(choices, name) != getattr(Choices, name) and protocol not in protocols:
            raise InputError(f"--{name.replace('_', '-')} goes with {' and '.join(protocols)}, not with {protocol}")
    if protocol == "temporal":
        plan = _temporal(log, choices)
    elif protocol == "leave-one-out":
        plan = _leave_one_out(log, choices)
    elif protocol == "domain-cold":
        plan = _domain_cold(log, choices, test)
    else:
        plan = _given(log, choices, test)
    tested, validated = (
        {queries.domain for stage in stages for queries in stage.queries} for stages in (plan.test, plan.validation)
    )
    if not tested:
        raise InputError(f"the protocol {protocol} leaves nobody for the test: give more interactions")
    if lacking := [log.names.domains[domain] for domain in sorted(tested - validated)]:
        raise InputError(
            f"the protocol {protocol} leaves nobody of {', '.join(lacking)} for the validation: give more interactions"
        )
    return plan


def _temporal(log: Log, choices: Choices) -> Plan:
    if not log.timed:
        raise InputError("the protocol temporal needs ts in the events: give times, or use leave-one-out")
    end = int(log.ts.max()) + 1
    length = choices.test_days * DAY
    stages = []
    for back in range(2 + choices.label_stages):
        until = end - back * length
        known = log.before(until)
        stage = _cut(log, until - length, until, choices, whole=back == 0)
        if not len(known) or not stage.queries:
            break
        stages.append((stage,))
    if len(stages) < 2:
        first, last = (datetime.fromtimestamp(int(ts), UTC).date() for ts in (log.ts.min(), log.ts.max()))
        raise InputError(
            f"the events, from {first} to {last}, leave nobody for a test and a validation of {choices.test_days} days "
            f"each and a gap of {choices.gap_days}: give fewer --test-days or --gap-days"
        )
    return Plan("temporal", stages[0], stages[1], tuple(stages[2:]))


def _cut(log: Log, start: int, until: int, choices: Choices, *, whole: bool) -> Stage:
    before = log.before(start)
    train = log.before(start - choices.gap_days * DAY).standing()
    after = log.between(start, until, rejected_until=None if whole else until).standing()
    truth = _new(after, before)
    known = np.diff(train.indptr) > 0
    queries = []
    for domain in range(len(log.names.domains)):
        here = in_span(truth, log.names.span(domain))
        user = np.flatnonzero((np.diff(here.indptr) > 0) & known)
        user = user if whole else _some(user, choices.max_people, choices.seed)
        if len(user):
            moment = np.full(len(user), start, dtype=np.int64)
            queries.append(Queries(domain, user.astype(np.int32), moment, here[user]))
    return Stage(train, train, _rankable(train, start), tuple(queries))


def _by_moment(stage: Stage, train: Log, groups: int) -> tuple[Stage, ...]:
    """The stage in groups of moments; each learns from what happened in ``train`` before its first moment."""
    if not stage.train.timed:
        raise InputError("--strict needs ts in the events: give times, or leave it out")
    moments = np.concatenate([queries.moment for queries in stage.queries])
    edges = np.unique(np.quantile(moments, np.linspace(0, 1, groups + 1)[:-1], method="lower"))
    out = []
    for start, end in zip(edges, [*edges[1:], np.iinfo(np.int64).max], strict=True):
        known = train.before(int(start)).standing()
        chosen = [np.flatnonzero((q.moment >= start) & (q.moment < end)) for q in stage.queries]
        parts = tuple(q.take(rows) for q, rows in zip(stage.queries, chosen, strict=True) if len(rows))
        if len(known):
            out.append(Stage(known, stage.history, stage.catalogue, parts, timeline=train))
    return tuple(out)


def _leave_one_out(log: Log, choices: Choices) -> Plan:
    stages = []
    rest = log
    for back in range(2 + choices.label_stages):
        catalogue = _all_but_later(log) if back == 0 else _rankable(rest, int(rest.ts.max(initial=0)))
        last = _last_standing(rest, rest.user)
        known = _before(rest, last).standing()
        last &= np.diff(known.indptr)[rest.user] > 0
        train = _before(rest, last)
        stage = _held_out(rest, last, train, catalogue, choices, whole=back == 0, part=back)
        if not stage.queries:
            break
        stages.append(_by_moment(stage, train, choices.strict) if choices.strict else (stage,))
        rest = train
    if len(stages) < 2:
        raise InputError(
            "leave-one-out needs people with three interactions or more, the last two with items that were new to "
            "them: one to test, one to validate; rows that are there twice are no new items"
        )
    return Plan("leave-one-out", stages[0], stages[1], tuple(stages[2:]))


def _given(log: Log, choices: Choices, test: Log | None) -> Plan:
    if test is None or not len(test):
        raise InputError("the protocol given needs --test with at least one row")
    if log.timed and not test.timed and choices.moment == "event":
        raise InputError("the events have ts and those of --test have none: give them, or --moment last")
    standing = test.standing()
    known = standing.where(np.diff(log.standing().indptr)[standing.user] > 0)
    left_out = {
        "of people without events": int(standing.matrix.nnz - known.matrix.nnz),
        "met before": int(known.matrix.multiply(log.seen).nnz),
        "taken back": int(test.matrix.nnz - standing.matrix.nnz),
    }
    asked = np.ones(len(known), dtype=bool)
    first = _held_out(known, asked, log, _all_but_later(log, test), choices, whole=True, part=0)
    if not first.queries:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(
            f"nothing of --test can be asked for ({why}): give rows of people who have events, with new items"
        )
    stages = [(first,)]
    rest = log
    domains = np.unique(test.domain)
    for back in range(1 + choices.label_stages):
        last = _last_standing(rest, _sides(rest.user, rest.domain)) & np.isin(rest.domain, domains)
        train = _before(rest, last, by_domain=True)
        enough = last & (np.diff(train.standing().indptr)[rest.user] > 0)
        catalogue = _rankable(rest, int(rest.ts.max(initial=0)))
        stage = _held_out(rest, enough, train, catalogue, choices, whole=False, part=back + 1)
        if not stage.queries:
            break
        stages.append((stage,))
        rest = train
    if len(stages) < 2:
        raise InputError(
            "the protocol given needs people with two interactions or more, the last one with an item of a domain of "
            "--test that was new to them: for the validation"
        )
    return Plan(
        "given", stages[0], stages[1], tuple(stages[2:]), {why: count for why, count in left_out.items() if count}
    )


def _domain_cold(log: Log, choices: Choices, test: Log | None) -> Plan:
    if len(log.names.domains) != 2:
        raise InputError(
            f"domain-cold needs two domains; the events, and the items if given, have {', '.join(log.names.domains)}"
        )
    draws = np.array([_draw(user, choices.seed) for user in log.names.users.to_pylist()])
    standing = log.standing()
    sides = [np.diff(standing.where(standing.domain == domain).indptr) > 0 for domain in (0, 1)]
    both = sides[0] & sides[1]
    parts: list[tuple[Stage, ...]] = []
    for back in range(2 + choices.label_stages):
        low, high = back * choices.cold_share, (back + 1) * choices.cold_share
        if high > 1 + 1e-9:
            break
        gone = both & (draws < low)
        asked = both & (draws >= low) & (draws < high)
        truth = test if back == 0 else None
        stages = tuple(_hidden(log, target, gone, asked, truth, choices, whole=back == 0) for target in (0, 1))
        parts.append(tuple(stage for stage in stages if stage.queries))
    if len(parts) < 2:
        raise InputError(f"cold_share {choices.cold_share} leaves nobody for validation: at most 0.5")
    return Plan("domain-cold", parts[0], parts[1], tuple(parts[2:]))


def _hidden(
    log: Log, target: int, gone: Bools, asked: Bools, test: Log | None, choices: Choices, *, whole: bool
) -> Stage:
    """People ``asked`` lose the target domain; those ``gone`` belong to stages nearer to the test and lose it too."""
    train = _of_side(log, target, ~(gone | asked), others=True).standing()
    outcome = _of_side(log if test is None else test, target, asked).standing()
    moment = int(log.ts.max()) + 1 if log.timed else 0
    catalogue = _all_but_later(log, test) if whole else _rankable(train, moment)
    truth = in_span(outcome.matrix, log.names.span(target))
    user = np.flatnonzero(np.diff(truth.indptr) > 0)
    user = user if whole else _some(user, choices.max_people, choices.seed)
    moments = np.full(len(user), moment, dtype=np.int64)
    queries = (Queries(target, user.astype(np.int32), moments, truth[user]),) if len(user) else ()
    return Stage(train, train, catalogue, queries)


def _held_out(
    log: Log, chosen: Bools, train: Log, catalogue: Bools, choices: Choices, *, whole: bool, part: int
) -> Stage:
    """Asks for the chosen interactions, each domain apart; what the person met before is not asked for."""
    outcome = log.where(chosen)
    known = train.standing()
    truth = _new(outcome, train)
    latest = np.zeros(len(log.names.users), dtype=np.int64)
    np.maximum.at(latest, outcome.user, outcome.ts)
    if choices.moment == "last":
        latest[:] = 0
        np.maximum.at(latest, known.user, known.ts)
    queries = []
    for domain in range(len(log.names.domains)):
        span = log.names.span(domain)
        here = in_span(truth, span)
        user = np.flatnonzero(np.diff(here.indptr) > 0)
        user = user if whole else _some(user, choices.max_people, choices.seed)
        if not len(user):
            continue
        sampled = None
        if choices.negatives:
            open_items = np.flatnonzero(catalogue[span]) + span.start
            met = in_span(train.seen[user] + here[user], span)
            seed = int(np.random.SeedSequence([choices.seed, part, domain]).generate_state(1, np.uint64)[0])
            sampled = _sampled(met, here[user], open_items, choices.negatives, seed)
        queries.append(Queries(domain, user.astype(np.int32), latest[user], here[user], sampled))
    return Stage(known, known, catalogue, tuple(queries))


def _sampled(met: sp.csr_matrix, truth: sp.csr_matrix, items: Ints, count: int, seed: int) -> Codes:
    """The one true item and ``count`` that the person never met nor rejected, ascending; uniform, without repeats."""
    if (np.diff(truth.indptr) != 1).any():
        raise InputError("--negatives needs one true item per person and domain; rank all items instead")
    left = len(items) - int(np.diff(met.indptr).max())
    if left < count:
        raise InputError(
            f"--negatives {count}: a domain has only {left} items that a person never met: give at most {left}"
        )
    out = np.empty((met.shape[0], count + 1), dtype=np.int32)
    draw_unseen(np.uint64(seed), items, met.indptr, met.indices, met.shape[1], out[:, :count])
    out[:, count] = truth.indices
    out.sort(axis=1)
    return out


def _rankable(known: Log, moment: int) -> Bools:
    """Items that anybody met or rejected, or that were listed at the moment or before, if times are known."""
    found: Bools = np.bincount(known.seen.indices, minlength=len(known.names.item_ids)) > 0
    if known.timed and known.names.listed is not None:
        found |= known.names.listed <= moment
    return found


def _all_but_later(log: Log, test: Log | None = None) -> Bools:
    """All items but those that nobody met and that were listed after all that is known, the test included."""
    logs = [one for one in (log, test) if one is not None]
    listed, timed = log.names.listed, [one for one in logs if one.timed]
    if listed is None or not timed:
        return np.ones(len(log.names.item_ids), dtype=bool)
    moment = max(int(one.ts.max(initial=0)) for one in timed)
    found: Bools = listed == UNDATED
    for one in logs:
        found |= _rankable(one, moment)
    return found


def _sides(user: Codes, domain: Codes) -> Ints:
    """A number for each person and domain."""
    return user.astype(np.int64) * (int(domain.max(initial=0)) + 1) + domain


def _last_standing(log: Log, group: Ints | Codes) -> Bools:
    """The last interaction of each group that no rejection takes back."""
    stands = np.flatnonzero(log.stands)
    _, last = np.unique(group[stands][::-1], return_index=True)
    chosen = np.zeros(len(log), dtype=bool)
    chosen[stands[len(stands) - 1 - last]] = True
    return chosen


def _before(log: Log, chosen: Bools, *, by_domain: bool = False) -> Log:
    """What happened before the chosen interaction of each person, or of each person and domain; all where none is.

    What follows it was taken back later, or is a rejection that was not known then.
    """
    domains = len(log.names.domains) if by_domain else 1
    first = np.full(len(log.names.users) * domains, len(log))
    place = log.user.astype(np.int64) * domains + (log.domain if by_domain else 0)
    first[place[chosen]] = np.flatnonzero(chosen)
    rejected = None
    if log.rejections is not None and log.row is not None:
        known = log.rejections
        at = first[known.user.astype(np.int64) * domains + (log.names.item_domain[known.item] if by_domain else 0)]
        ts, row = np.append(log.ts, np.iinfo(np.int64).max)[at], np.append(log.row, np.iinfo(np.int64).max)[at]
        rejected = (known.ts < ts) | ((known.ts == ts) & (known.row < row))
    return log.where(np.arange(len(log)) < first[place], rejected)


def _of_side(log: Log, target: int, people: Bools, *, others: bool = False) -> Log:
    """What some people met and rejected in a domain; with ``others`` also what anybody did in another domain."""
    side = log.domain == target
    rejected = None
    if log.rejections is not None:
        there = log.names.item_domain[log.rejections.item] == target
        rejected = (there & people[log.rejections.user]) | (others & ~there)
    return log.where((side & people[log.user]) | (others & ~side), rejected)


def _new(outcome: Log, before: Log) -> sp.csr_matrix:
    """What people met in ``outcome`` and neither met nor rejected in ``before``."""
    fresh = outcome.matrix - outcome.matrix.multiply(before.seen)
    fresh.eliminate_zeros()
    return fresh.tocsr()


def in_span(matrix: sp.csr_matrix, span: slice) -> sp.csr_matrix:
    """The matrix without the cells outside a span of its columns."""
    keep = (matrix.indices >= span.start) & (matrix.indices < span.stop)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[keep]
    part = sp.csr_matrix((matrix.data[keep], (rows, matrix.indices[keep])), shape=matrix.shape)
    part.sort_indices()
    return part


def _some(users: Ints, most: int, seed: int) -> Ints:
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, size=most, replace=False))


def _draw(key: str, seed: int) -> float:
    digest = blake2b(key.encode(), digest_size=6, salt=seed.to_bytes(8, "big", signed=True)).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


def people_of(stages: Sequence[Stage]) -> int:
    """Number of queries of some stages."""
    return sum(len(queries) for stage in stages for queries in stage.queries)
