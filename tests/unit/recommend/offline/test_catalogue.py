"""Which items can be ranked: those that were met before the cut, and those that were listed by then."""

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.offline.evaluation import PRODUCT, Request, evaluate
from crossdomain.recommend.offline.features import fit_sources
from crossdomain.recommend.offline.log import UNDATED, Log, make_logs
from crossdomain.recommend.offline.protocols import Choices, Stage, make_plan
from crossdomain.recommend.offline.ranker import RankerSettings
from crossdomain.recommend.offline.ranking import rank_source
from crossdomain.recommend.offline.reading import read_items
from crossdomain.recommend.offline.sources import SOURCES
from crossdomain.recommend.offline.training import Recipe
from tests.unit.recommend.offline.logs import DAY, blocks, events

TEMPORAL = Choices(test_days=60, label_stages=1)
DAYS = 400
STARTS = [(DAYS - 60 * back) * DAY for back in (1, 2, 3)]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """People of four kinds; in each of the last three periods an item of each kind is new, and its kind meets it.

    The items are old ones (``art-0-3``), new ones (``new-0-1``: of kind 0, first met in the last period but one) and
    others that nobody meets.
    """
    old = blocks(people=60, items=6, days=DAYS)
    rows, times = [], []
    for person in range(60):
        for period, start in enumerate(STARTS):
            rows.append((f"u{person}", "art", f"new-{person % 4}-{period}"))
            times.append(start + (person + 1) * DAY // 2)
    last = [("u0", "books", "books-0-0")]
    return pa.concat_tables([old, events(rows, times), events(last, [DAYS * DAY - 1])])


def _catalogue(table: pa.Table, listed: dict[str, int | None]) -> pa.Table:
    """Every item described by its kind; dated are the named ones."""
    pairs = set(zip(table["domain"].to_pylist(), table["item_id"].to_pylist(), strict=True))
    pairs = sorted({*pairs, *(("art", item) for item in listed)})
    domain, item = zip(*pairs, strict=True)
    text = [f"kind{one.split('-')[1]} {one}" for one in item]
    dates = pa.array([listed.get(one) for one in item], pa.int64())
    return pa.table({"item_id": item, "domain": domain, "text": text, "listed_at": dates})


def _dated(at: list[int]) -> dict[str, int | None]:
    return {f"new-{kind}-{period}": moment for period, moment in enumerate(at) for kind in range(4)}


def _rankable(stage: Stage) -> set[str]:
    return set(stage.train.names.item_ids.filter(pa.array(stage.catalogue)).to_pylist())


def _log(table: pa.Table, items: pa.Table | None) -> Log:
    return make_logs([table], items)[0]


def test_an_item_that_is_new_and_listed_is_found_by_its_text(table) -> None:
    items = _catalogue(table, _dated([start - DAY for start in STARTS]))
    stage = make_plan("temporal", _log(table, items), TEMPORAL).test[0]
    (fitted,) = fit_sources(stage, {"content": SOURCES["content"]()}, seed=7, threads=1)
    queries = next(one for one in stage.queries if one.domain == 0)
    ranking = rank_source(fitted.source, fitted.state, stage, queries)
    ids = stage.train.names.item_ids
    new = [ids[int(item)].as_py().startswith("new-") for item in queries.truth.indices]
    assert sum(new) == 60
    assert np.isfinite(ranking.rank).all()
    assert ranking.rank[new].max() <= 8  # seven items of a kind and the domain, besides what was met
    names = stage.train.names
    for user, shown in zip(queries.user, ranking.lists, strict=True):
        kind = int(names.users[int(user)].as_py()[1:]) % 4
        assert f"new-{kind}-0" in [ids[int(item)].as_py() for item in shown[:8]]


def test_the_recommender_shows_new_items_where_they_are_dated(table) -> None:
    sources = {name: SOURCES[name]() for name in ("popularity", "content")}
    recipe = Recipe(sources, RankerSettings(rounds=20, least_rows=5, threads=1))
    request = Request("temporal", TEMPORAL, recipe=recipe, samples=20)
    dated, undated = (
        evaluate(table, _catalogue(table, listed), None, request)["models"][PRODUCT]["art"]["hr@10"]["value"]
        for listed in (_dated([start - DAY for start in STARTS]), {})
    )
    assert dated > 0.95 > 0.6 > undated


def test_what_is_listed_later_or_without_a_date_is_not_rankable(table) -> None:
    listed = _dated([STARTS[0], STARTS[1] + 1, STARTS[2] - 1])
    plain = make_plan("temporal", _log(table, None), TEMPORAL)
    plan = make_plan("temporal", _log(table, _catalogue(table, {**listed, "other-1-1": None})), TEMPORAL)
    test, validation, label = (stages[0] for stages in (plan.test, plan.validation, *plan.labels))
    before = [_rankable(stages[0]) for stages in (plain.test, plain.validation, *plain.labels)]
    new = [{f"new-{kind}-{period}" for kind in range(4)} for period in range(3)]
    assert _rankable(test) == before[0] | new[0]  # listed in the very second of the cut
    assert _rankable(validation) == before[1]  # those of the second period came a second late
    assert _rankable(label) == before[2] | new[2]
    assert new[1] <= before[0]  # met by then
    assert not new[0] & before[0]


def test_a_catalogue_without_dates_gives_nothing_of_the_future_away(table) -> None:
    """Neither in temporal nor in any validation."""
    items = _catalogue(table, {"other-1-1": None}).drop_columns(["listed_at"])
    for protocol in ("temporal", "leave-one-out", "domain-cold"):
        choices = TEMPORAL if protocol == "temporal" else Choices(label_stages=1)
        plain, plan = (make_plan(protocol, _log(table, one), choices) for one in (None, items))
        stages = list(zip([*plan.validation, *plan.labels[0]], [*plain.validation, *plain.labels[0]], strict=True))
        if protocol == "temporal":
            stages.append((plan.test[0], plain.test[0]))
        else:
            assert _rankable(plan.test[0]) == _rankable(plain.test[0]) | {"other-1-1"}
        for mine, other in stages:
            assert _rankable(mine) == _rankable(other)


@pytest.mark.parametrize("protocol", ["leave-one-out", "domain-cold", "given"])
def test_other_protocols_rank_what_was_listed_by_the_last_moment_they_know(table, protocol) -> None:
    listed = {"early-0-0": 5 * DAY, "late-0-0": 999 * DAY, "undated-0-0": None, "new-0-0": 999 * DAY}
    items = _catalogue(table, listed)
    test = events([("u1", "art", "test-1-1"), ("u2", "books", "test-2-2")], [DAYS * DAY, DAYS * DAY])
    logs = make_logs([table, test], items) if protocol == "given" else (_log(table, items), None)
    plan = make_plan(protocol, logs[0], Choices(label_stages=0), logs[1])
    everything = set(logs[0].names.item_ids.to_pylist())
    for stage in plan.test:
        assert _rankable(stage) == everything - {"late-0-0"}  # what was met is rankable whatever its date says
    for stage in plan.validation:
        assert "early-0-0" in _rankable(stage)
        assert not {"late-0-0", "undated-0-0", "test-1-1"} & _rankable(stage)


def test_dates_say_nothing_where_the_events_have_no_times(table) -> None:
    untimed = table.set_column(table.column_names.index("ts"), "ts", pa.nulls(len(table), pa.int64()))
    items = _catalogue(table, {"early-0-0": 5 * DAY, "late-0-0": 999 * DAY})
    plan = make_plan("leave-one-out", _log(untimed, items), Choices(label_stages=0))
    assert {"early-0-0", "late-0-0"} <= _rankable(plan.test[0])
    assert not {"early-0-0", "late-0-0"} & _rankable(plan.validation[0])


def test_dates_are_read(tmp_path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,domain,listed_at\na,x,2024-01-02\nb,x,\nc,y,2024-01-03\n")
    items = read_items(path)
    assert items["listed_at"].to_pylist() == [1704153600, None, 1704240000]
    known = make_logs([events([("u", "x", "d")])], items)[0]
    assert known.names.listed.tolist() == [1704153600, UNDATED, UNDATED, 1704240000]
    assert make_logs([events([("u", "x", "d")])])[0].names.listed is None


@pytest.mark.parametrize("form", ["seconds", "times"])
def test_dates_of_any_form_may_be_missing(tmp_path, form) -> None:
    rows = {
        "seconds": ("1704153600", "", "1704240000"),
        "times": ("2024-01-02 08:00:00+08:00", "", "2024-01-03 00:00Z"),
    }
    path = tmp_path / "items.csv"
    path.write_text("item_id,domain,listed_at\n" + "".join(f"{n},x,{at}\n" for n, at in enumerate(rows[form])))
    assert read_items(path)["listed_at"].to_pylist() == [1704153600, None, 1704240000]
    path.write_text("item_id,domain,listed_at\n1,x,2024-01-02\n2,x,soon\n")
    with pytest.raises(InputError, match="row 2: listed_at 'soon' is not"):
        read_items(path)
