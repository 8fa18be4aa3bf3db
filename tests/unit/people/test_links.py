"""Which accounts become one person, and what is reported instead of guessed."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.people.identity import persons as components
from tests.unit.people.register import (
    DAY,
    agree,
    build,
    conflicts,
    counts,
    given,
    key,
    knows,
    links,
    name,
    persons,
    shops,
)

Case = dict[str, Any]


def test_one_contact_of_one_account_on_each_side_links(tmp_path: Path) -> None:
    users = [knows("k", phone="p"), shops("b", phone="p", email="m"), knows("k2", email="n"), shops("b2", email="n")]
    written = build(tmp_path, users=users, consents=agree("k", "b", "k2", "b2"))
    assert links(written) == {("k", "b"): "in_force", ("k2", "b2"): "in_force"}
    assert persons(written) == {"k": "b", "b": "b", "k2": "b2", "b2": "b2"}
    assert conflicts(written) == set()


def test_an_account_given_to_two_others_is_linked_to_neither(tmp_path: Path) -> None:
    users = [knows("k"), shops("b"), shops("c"), knows("l"), shops("d")]
    pairs = [given("k", "b"), given("k", "c"), given("l", "d")]
    written = build(tmp_path, users=users, identity_links=pairs, consents=agree("k", "l", "b", "c", "d"))
    assert links(written) == {("k", "b"): "conflict", ("k", "c"): "conflict", ("l", "d"): "in_force"}
    assert conflicts(written) == {("given_twice", "given", "k", "b", 3), ("given_twice", "given", "k", "c", 3)}
    assert persons(written) == {"k": "k", "b": "b", "c": "c", "l": "d", "d": "d"}


def test_a_given_link_beats_a_contact_and_the_contact_is_reported(tmp_path: Path) -> None:
    users = [knows("k", phone="p"), shops("b"), shops("c", phone="p")]
    written = build(tmp_path, users=users, identity_links=[given("k", "b")], consents=agree("k", "b", "c"))
    assert links(written) == {("k", "b"): "in_force"}
    assert conflicts(written) == {("given_against_contact", "phone", "k", "c", 2)}


def test_a_contact_does_not_decide_between_two_given_links(tmp_path: Path) -> None:
    users = [knows("k", phone="p"), shops("b", phone="p"), shops("c")]
    pairs = [given("k", "b"), given("k", "c")]
    written = build(tmp_path, users=users, identity_links=pairs, consents=agree("k", "b", "c"))
    assert set(links(written).values()) == {"conflict"}


def test_a_phone_of_one_and_a_mail_of_another_link_nobody(tmp_path: Path) -> None:
    users = [knows("k", phone="p", email="m"), shops("b", phone="p"), shops("c", email="m")]
    written = build(tmp_path, users=users, consents=agree("k", "b", "c"))
    assert links(written) == {}
    assert conflicts(written) == {
        ("contacts_disagree", "phone", "k", "b", 2),
        ("contacts_disagree", "email", "k", "c", 2),
    }
    assert counts(written)["knowledge", "in_conflict"] == 1
    assert counts(written)["beauty", "in_conflict"] == 2


def test_a_family_phone_links_nobody_but_mails_of_their_own_do(tmp_path: Path) -> None:
    users = [knows("k", phone="p"), knows("l", phone="p", email="m"), shops("b", phone="p", email="m")]
    written = build(
        tmp_path, users=[users[0], knows("l", phone="p"), shops("b", phone="p")], consents=agree("k", "l", "b")
    )
    assert links(written) == {}
    family = {("shared_contact", "phone", "k", "b", 3), ("shared_contact", "phone", "l", "b", 3)}
    assert conflicts(written) == family
    with_mail = build(tmp_path, users=users, consents=agree("k", "l", "b"))
    assert links(with_mail) == {("l", "b"): "in_force"}
    assert conflicts(with_mail) == family


def test_a_shops_phone_gives_a_row_an_account_not_a_pair(tmp_path: Path) -> None:
    ks, bs = [f"k{n:03}" for n in range(300)], [f"b{n:03}" for n in range(200)]
    users = [knows(one, phone="shop") for one in ks] + [shops(one, phone="shop") for one in bs]
    written = build(tmp_path, users=users, consents=agree(*ks, *bs, purposes=["cross_domain"]))
    assert links(written) == {}
    found = conflicts(written)
    assert len(found) == 300 + 200 - 1
    assert {left for _, _, left, _, _ in found} == set(ks)
    assert {right for _, _, _, right, _ in found} == set(bs)
    assert {accounts for *_, accounts in found} == {500}


@pytest.mark.parametrize("unwilling", ["k", "b"])
def test_who_does_not_agree_to_cross_domain_is_neither_matched_nor_reported(tmp_path: Path, unwilling: str) -> None:
    users = [knows("k", phone="p", email="m"), shops("b", phone="p"), shops("c", email="m")]
    agreed = agree(*({"k", "b"} - {unwilling}))
    assert conflicts(build(tmp_path, users=users, consents=agreed)) == set()
    alone = build(tmp_path, users=users[:2], consents=agreed)
    assert links(alone) == {}, "a pair that may not be known is not stored"
    by_hand = build(tmp_path, users=users[:2], identity_links=[given("k", "b")], consents=agreed)
    assert links(by_hand) == {("k", "b"): "no_consent"}, "a given link is kept for when they agree"
    assert persons(by_hand) == {"k": "k", "b": "b"}


def test_a_third_account_counts_against_a_match_whatever_it_allows(tmp_path: Path) -> None:
    users = [knows("k", phone="p"), knows("l", phone="p"), shops("b", phone="p")]
    written = build(tmp_path, users=users, consents=agree("k", "b"))
    assert links(written) == {}
    assert conflicts(written) == {("shared_contact", "phone", "k", "b", 3)}


def test_a_contact_that_changed_links_no_more_and_a_given_link_stays(tmp_path: Path) -> None:
    users = [knows("k", phone="p"), shops("b", phone="p"), knows("l"), shops("c")]
    agreed = agree("k", "b", "l", "c")
    before = build(tmp_path, users=users, identity_links=[given("l", "c")], consents=agreed)
    assert links(before) == {("k", "b"): "in_force", ("l", "c"): "in_force"}
    after = build(tmp_path, before, users=[shops("b", phone="new")])
    assert links(after) == {("l", "c"): "in_force"}


def test_first_days_are_kept(tmp_path: Path) -> None:
    users = [
        knows("k", phone="p", email="m"),
        shops("b", phone="p"),
        shops("c", email="m"),
        knows("l", phone="q"),
        shops("d", phone="q"),
    ]
    before = build(tmp_path, users=users, consents=agree("k", "b", "c", "l", "d"))
    earlier = pa.array([DAY.replace(day=1, month=5)] * 2, pa.date32())
    before["derived.link_conflicts"] = (
        before["derived.link_conflicts"].drop(["first_ds"]).append_column("first_ds", earlier)
    )
    before["derived.account_links"] = (
        before["derived.account_links"].drop(["first_ds"]).append_column("first_ds", earlier[:1])
    )
    after = build(tmp_path, before)
    for table in ("derived.link_conflicts", "derived.account_links"):
        assert set(after[table]["first_ds"].to_pylist()) == {DAY.replace(month=5)}


def test_a_child_and_an_adult_are_not_one_person(tmp_path: Path) -> None:
    users = [knows("k", phone="p", birth_year=2014), shops("b", phone="p", birth_year=1984)]
    users += [knows("l", birth_year=2014), shops("c", birth_year=1984)]
    written = build(tmp_path, users=users, identity_links=[given("l", "c")], consents=agree("k", "b", "l", "c"))
    assert links(written) == {("l", "c"): "conflict"}
    assert conflicts(written) == {("child_and_adult", "phone", "k", "b", 2), ("child_and_adult", "given", "l", "c", 2)}
    assert set(persons(written)) == {"b", "c"}


# the oracle ------------------------------------------------------------------------------------


def judge(case: Case) -> tuple[dict[tuple[str, str], str], set[tuple[str, str, str, str]], set[str]]:
    """Statuses of stored links, (kind, evidence, pair) of conflicts, and children, by looking at every pair."""
    people, pairs = case["people"], case["given"]
    sides = {side: [one for one, row in people.items() if row["side"] == side] for side in ("knowledge", "beauty")}

    def carriers(side: str, kind: str, contact: str) -> set[str]:
        return {one for one in sides[side] if people[one][kind] == contact}

    def met(one: str, kind: str) -> set[str]:
        other = "beauty" if people[one]["side"] == "knowledge" else "knowledge"
        return carriers(other, kind, people[one][kind]) if people[one][kind] else set()

    statuses, found = {}, set()
    children = {one for one, row in people.items() if row["child"]}
    for left, right in product(sides["knowledge"], sides["beauty"]):
        one, other = people[left], people[right]
        is_given = (left, right) in pairs
        kinds = [kind for kind in ("phone", "email") if met(left, kind) == {right} and met(right, kind) == {left}]
        rivals = [pair for pair in pairs if (pair[0] == left) != (pair[1] == right)]
        kind = None
        if is_given:
            kind = "given_twice" if rivals else None
        elif not kinds:
            continue
        elif rivals:
            kind = "given_against_contact"
        elif any(
            known and partner not in known
            for k in ("phone", "email")
            for known, partner in ((met(left, k), right), (met(right, k), left))
        ):
            kind = "contacts_disagree"
        ages = {one["child"], other["child"]}
        if kind is None and ages == {True, False}:
            kind = "child_and_adult"
        agreed = one["willing"] and other["willing"]
        status = "no_consent" if not agreed else "conflict" if kind else "in_force"
        if True in ages and kind is None and (agreed or is_given):
            status = "minor"
        if agreed and kind:
            found.add((kind, "given" if is_given else " and ".join(kinds), left, right))
        if status == "minor":
            children |= {left, right}
        if is_given or status == "in_force":
            statuses[left, right] = status
    for kind in ("phone", "email"):
        for contact in {row[kind] for row in people.values()} - {None}:
            left, right = carriers("knowledge", kind, contact), carriers("beauty", kind, contact)
            willing_left, willing_right = ({one for one in side if people[one]["willing"]} for side in (left, right))
            if left and right and len(left) + len(right) > 2 and willing_left and willing_right:
                star = {(one, min(willing_right)) for one in willing_left} | {
                    (min(willing_left), one) for one in willing_right
                }
                found |= {("shared_contact", kind, *pair) for pair in star}
    return statuses, found, children


def random_case(rng: np.random.Generator, number: int) -> Case:
    """A few accounts that share few contacts."""
    people = {}
    for side, letter in (("knowledge", "k"), ("beauty", "b")):
        for place in range(rng.integers(1, 4)):
            contacts = {
                kind: f"{kind[0]}{number}-{rng.integers(3)}" if rng.random() < 0.6 else None
                for kind in ("phone", "email")
            }
            child = [None, None, False, True][rng.integers(4)]
            people[f"{letter}{number}-{place}"] = {
                "side": side, "willing": bool(rng.random() < 0.85), "child": child, **contacts,
            }  # fmt: skip
    lefts, rights = ([one for one in people if one[0] == letter] for letter in "kb")
    pairs = {(left, right) for left, right in product(lefts, rights) if rng.random() < 0.15}
    return {"people": people, "given": pairs}


def test_random_small_graphs_against_every_pair_looked_at(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    cases = [random_case(rng, number) for number in range(1500)]
    users, agreed, pairs = [], [], []
    years = {None: None, True: 2013, False: 1990}
    for case in cases:
        for one, row in case["people"].items():
            make = knows if row["side"] == "knowledge" else shops
            users.append(make(one, phone=row["phone"], email=row["email"], birth_year=years[row["child"]]))
            agreed += agree(one, purposes=["cross_domain"]) if row["willing"] else []
        pairs += [given(*pair) for pair in sorted(case["given"])]
    written = build(tmp_path, users=users, identity_links=pairs, consents=agreed)
    expected_links, expected_conflicts, children = {}, set(), set()
    for case in cases:
        statuses, found, young = judge(case)
        expected_links |= statuses
        expected_conflicts |= found
        children |= young
    assert links(written) == expected_links
    assert {found[:4] for found in conflicts(written)} == expected_conflicts
    kinds = Counter(kind for kind, *_ in expected_conflicts)
    assert min(kinds.values()) > 20, kinds
    assert set(kinds) == {
        "given_twice",
        "given_against_contact",
        "contacts_disagree",
        "shared_contact",
        "child_and_adult",
    }
    assert Counter(expected_links.values()).keys() == {"in_force", "no_consent", "conflict", "minor"}
    in_force = {pair for pair, status in expected_links.items() if status == "in_force"}
    everyone = {one for case in cases for one in case["people"]}
    expected_persons = {one: one for one in everyone - children} | {one: min(pair) for pair in in_force for one in pair}
    assert persons(written) == expected_persons


def test_persons_are_the_connected_sets_of_a_random_graph() -> None:
    rng = np.random.default_rng(3)
    edges = [(f"k{a:02}", f"b{b:02}") for a, b in rng.integers(0, 40, (45, 2))]
    found = components(
        pa.table({side: [key(pair[place]) for pair in edges] for place, side in enumerate(("left", "right"))})
    )
    groups = {one: {one} for pair in edges for one in pair}
    for left, right in edges * len(groups):  # as often as the longest path may need
        joined = groups[left] | groups[right]
        for one in joined:
            groups[one] = joined
    expected = {one: min(group) for one, group in groups.items()}
    assert {
        name(a): name(p) for a, p in zip(*(column.to_pylist() for column in found.columns), strict=True)
    } == expected
    assert found["account"].to_pylist() == sorted(found["account"].to_pylist())
