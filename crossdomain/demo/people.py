"""The people: who is known where, what they like, their accounts, links, consents and erasures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.demo import names
from crossdomain.demo.clock import DAY_SECONDS, Calendar, midnight, stream
from crossdomain.demo.topics import BEAUTY, DOMAINS, KNOWLEDGE, TOPICS, carry_over_matrix, topics_of

SHARE_BOTH = 0.35
"""Share of people known on both sides; the others are split evenly."""

LINK_KINDS = ("none", "listed", "contact", "late")
"""How the two accounts of a person become known as one: not (one side only), an identity_links row in the history
delivery, the same phone and mail on both sides, an identity_links row on a later day."""

PURPOSES = ("personalisation", "cross_domain", "marketing_email", "marketing_sms", "marketing_push", "profiling")
REFUSED = (0.03, 0.05, 0.20, 0.25, 0.20, 0.04)
"""Share of accounts that refuse each purpose from the beginning, in the order of `PURPOSES`."""

WITHDRAWN_A_DAY = 0.0015
ERASED_A_DAY = 0.0004
_FAR_FUTURE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Accounts:
    """The accounts of one domain; every array is in account order.

    Attributes:
        domain: `knowledge` or `beauty`.
        person: number of the person.
        user_ids: user ids as text.
        registered: epoch seconds of registration.
        erased: epoch seconds of the erasure request; the largest integer when there is none.
        activity: relative amount of behaviour.
        taste: float64 of shape (accounts, topics of the domain), rows add up to 1.
        thrift: how strongly the price lowers the chance to buy.
    """

    domain: str
    person: np.ndarray
    user_ids: pa.Array
    registered: np.ndarray
    erased: np.ndarray
    activity: np.ndarray
    taste: np.ndarray
    thrift: np.ndarray

    def __len__(self) -> int:
        return len(self.person)

    def registered_by(self, day: date) -> np.ndarray:
        """Mask of the accounts registered before the end of a day."""
        return np.asarray(self.registered < midnight(day) + DAY_SECONDS)

    def active_on(self, day: date) -> np.ndarray:
        """Mask of the accounts that may behave on a day: registered, and not erased before the day began.

        Requests come with the day's delivery, so the day of the request still has behaviour.
        """
        return self.registered_by(day) & np.asarray(self.erased >= midnight(day))


@dataclass(frozen=True)
class People:
    """Everybody in the world.

    Attributes:
        accounts: the accounts by domain.
        taste: tastes of every person by domain, also where the person has no account.
        account_of: account number by domain and person, -1 where there is none.
        link: position in `LINK_KINDS` by person.
        linked: epoch seconds of the link; -1 where there is no identity_links row.
    """

    accounts: dict[str, Accounts]
    taste: dict[str, np.ndarray]
    account_of: dict[str, np.ndarray]
    link: np.ndarray
    linked: np.ndarray

    def __len__(self) -> int:
        return len(self.link)


def build_people(*, users: int, calendar: Calendar, seed: int) -> People:
    """Make the people.

    Args:
        users: number of people.
        calendar: the days.
        seed: seed of the world.

    Returns:
        People whose beauty tastes follow from their knowledge tastes (`topics.CARRY_OVER`) up to 6 % of own taste.
    """
    rng = stream(seed, "people")
    taste = _tastes(users, rng)
    draw = rng.random(users)
    known = {KNOWLEDGE: draw < (1 + SHARE_BOTH) / 2, BEAUTY: (draw < SHARE_BOTH) | (draw >= (1 + SHARE_BOTH) / 2)}
    activity = rng.lognormal(0, 0.7, users)
    thrift = rng.uniform(0.05, 0.45, users)
    accounts, account_of = {}, {}
    for domain in DOMAINS:
        person = np.flatnonzero(known[domain])
        account_of[domain] = np.full(users, -1)
        account_of[domain][person] = np.arange(len(person))
        registered = _registered(len(person), calendar, rng)
        accounts[domain] = Accounts(
            domain=domain,
            person=person,
            user_ids=_user_ids(domain, len(person), rng),
            registered=registered,
            erased=_erased(registered, calendar, rng),
            activity=activity[person] * rng.lognormal(0, 0.3, len(person)),
            taste=taste[domain][person],
            thrift=thrift[person],
        )
    link, linked = _links(known, accounts, account_of, calendar, rng)
    return People(accounts, taste, account_of, link, linked)


def _tastes(users: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Sparse tastes on the knowledge side, and the beauty tastes that they carry over to."""
    prior = np.array([TOPICS[number].prior for number in topics_of(KNOWLEDGE)])
    knowledge = _shares(rng.gamma(0.08 * prior, size=(users, len(prior))))
    own = _shares(rng.gamma(0.3, size=(users, len(topics_of(BEAUTY)))))
    beauty = _shares((knowledge @ carry_over_matrix()) ** 1.8)
    return {KNOWLEDGE: knowledge, BEAUTY: 0.94 * beauty + 0.06 * own}


def _shares(weights: np.ndarray) -> np.ndarray:
    weights = weights + 1e-9
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _registered(count: int, calendar: Calendar, rng: np.random.Generator) -> np.ndarray:
    """Registration times: most up to two years before, some in the history, 0.4 % a day on ordinary days."""
    when = midnight(calendar.first) - rng.integers(1, 730 * DAY_SECONDS, count)
    draw = rng.random(count)
    recent = midnight(calendar.first) + rng.integers(0, calendar.history_days, count) * DAY_SECONDS
    new = midnight(calendar.start) + rng.integers(0, calendar.days, count) * DAY_SECONDS
    morning = rng.integers(0, 8 * 3600, count)
    when = np.where(draw < 0.05, recent + morning, when)
    return np.where(draw > 1 - min(0.004 * calendar.days, 0.2), new + morning, when)


def _user_ids(domain: str, count: int, rng: np.random.Generator) -> pa.Array:
    """Ids in an order that says nothing about the person."""
    numbers = rng.permutation(count)
    first, prefix = (200_001, "u") if domain == KNOWLEDGE else (80_000_001, "")
    return pa.array([f"{prefix}{number}" for number in (first + numbers).tolist()])


def _erased(registered: np.ndarray, calendar: Calendar, rng: np.random.Generator) -> np.ndarray:
    """Erasure requests between 09:00 and 21:00 of the second ordinary day and later; at least one a domain."""
    erased = np.full(len(registered), _FAR_FUTURE)
    days = calendar.days - 1
    settled = np.flatnonzero(registered < midnight(calendar.start))
    count = min(max(1, round(ERASED_A_DAY * len(registered) * days)), len(settled)) if days > 0 else 0
    chosen = rng.choice(settled, count, replace=False)
    day = 1 + np.arange(count) % max(days, 1)
    erased[chosen] = midnight(calendar.start) + day * DAY_SECONDS + rng.integers(9 * 3600, 21 * 3600, count)
    return erased


def _links(
    known: dict[str, np.ndarray],
    accounts: dict[str, Accounts],
    account_of: dict[str, np.ndarray],
    calendar: Calendar,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    users = len(known[KNOWLEDGE])
    both = known[KNOWLEDGE] & known[BEAUTY]
    draw = rng.random(users)
    late_time = midnight(calendar.start) + rng.integers(0, calendar.days, users) * DAY_SECONDS
    late_time += rng.integers(9 * 3600, 23 * 3600, users)
    newest = np.max(
        [np.where(account_of[domain] >= 0, accounts[domain].registered[account_of[domain]], 0) for domain in DOMAINS],
        axis=0,
    )
    settled = newest < midnight(calendar.start)
    link = np.select([~both, draw < 0.25, (draw < 0.40) & settled, settled], [0, 2, 3, 1], 2)
    linked = np.select([link == 1, link == 3], [newest + 30, late_time], -1)
    return link, np.where(link == 1, np.minimum(linked, midnight(calendar.start) - 1), linked)


def profile_table(people: People, domain: str, *, seed: int) -> pa.Table:
    """The profile columns of a domain's accounts (name, phone, mail, gender, birth_year, province, city), as text.

    Phones and mails are invented and unique to a person and side, but for people linked by contact, who use the same
    on both sides. One in eight leaves gender and birth year blank.
    """
    persons = people.accounts[domain].person
    rng = stream(seed, "profiles")
    users = len(people)
    shared = people.link == LINK_KINDS.index("contact")
    contact = 2 * rng.permutation(users) + np.where(shared, 0, DOMAINS.index(domain))
    surname, first, second = (
        rng.integers(0, len(part), users) for part in (names.SURNAMES, names.GIVEN_FIRST, names.GIVEN_SECOND)
    )
    place = rng.integers(0, len(names.PLACES), users)
    gender = np.where(people.taste[BEAUTY][:, topics_of(BEAUTY).index(14)] > 0.3, "male", "female")
    gender = np.where(rng.random(users) < 0.1, np.where(gender == "male", "female", "male"), gender)
    birth = rng.integers(1962, 2006, users)
    blank = pa.array(rng.random(users)[persons] < 0.125)
    return pa.table(
        {
            "name": pc.binary_join_element_wise(
                *(
                    pa.array(part).take(pa.array(places[persons]))
                    for part, places in (
                        (list(names.SURNAMES), surname),
                        (list(names.GIVEN_FIRST), first),
                        (list(names.GIVEN_SECOND), second),
                    )
                ),
                "",
            ),
            "phone": pa.array(13_900_000_000 + contact[persons]).cast(pa.string()),
            "email": pc.binary_join_element_wise("p", pa.array(contact[persons]).cast(pa.string()), "@example.com", ""),
            "gender": pc.if_else(blank, pa.scalar(None, pa.string()), pa.array(gender[persons].tolist(), pa.string())),
            "birth_year": pc.if_else(blank, pa.scalar(None, pa.string()), pa.array(birth[persons]).cast(pa.string())),
            "province": pa.array([p for p, _ in names.PLACES]).take(pa.array(place[persons])),
            "city": pa.array([c for _, c in names.PLACES]).take(pa.array(place[persons])),
        }
    )


@dataclass(frozen=True)
class ConsentBook:
    """Who agreed to what in one domain.

    Attributes:
        granted: bool of shape (accounts, purposes): the answer at registration.
        withdrawn: epoch seconds by (account, purpose) of a later withdrawal; the largest integer when there is none.
    """

    granted: np.ndarray
    withdrawn: np.ndarray

    def allows(self, purpose: str, seconds: int) -> np.ndarray:
        """Mask of the accounts whose consent to a purpose holds at a moment."""
        column = PURPOSES.index(purpose)
        return self.granted[:, column] & np.asarray(self.withdrawn[:, column] > seconds)


def build_consents(accounts: Accounts, *, calendar: Calendar, seed: int) -> ConsentBook:
    """Decide the consents: most grant everything; withdrawals of personalisation or cross_domain on ordinary days.

    At least one account a domain withdraws cross_domain and one personalisation when there is a second ordinary day.
    """
    rng = stream(seed, f"consents-{accounts.domain}")
    count = len(accounts)
    granted = rng.random((count, len(PURPOSES))) >= np.array(REFUSED)
    withdrawn = np.full(granted.shape, _FAR_FUTURE)
    days = calendar.days - 1
    settled = np.flatnonzero(accounts.registered < midnight(calendar.start))
    for column in (0, 1):
        able = settled[granted[settled, column]]
        wanted = min(max(1, round(WITHDRAWN_A_DAY / 2 * count * days)), len(able)) if days > 0 else 0
        chosen = rng.choice(able, wanted, replace=False)
        day = 1 + np.arange(wanted) % max(days, 1)
        withdrawn[chosen, column] = (
            midnight(calendar.start) + day * DAY_SECONDS + rng.integers(8 * 3600, 23 * 3600, wanted)
        )
    return ConsentBook(granted, withdrawn)
