"""Workbooks as people keep them: every dirty cell is mended by a declared rule or quarantined with sheet and row."""

from __future__ import annotations

import io
import re
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import openpyxl
import pandas as pd
import pytest

from tests.unit.ingest.conftest import REPOSITORY, World

FEEDS = ("cosmetics_orders", "cosmetics_products")
REAL = REPOSITORY.parent / "shared" / "data" / "beauty_shop" / "orders_daily_cosmetics.xlsx"
CLOSED = date(2019, 9, 30)  # the last day of the orders
ORDERS, PRODUCTS = "销售订单表", "商品信息表"
HEADER = (
    "订单编码",
    "订单日期",
    "客户编码",
    "所在区域",
    "所在省份",
    "所在地市",
    "商品编号",
    "订购数量",
    "订购单价",
    "金额",
)
GOOD = ("D20001", datetime(2019, 9, 30), "S10001", "东区", "浙江省", "杭州市", "X001", 3, 86, 258)  # noqa: DTZ001

Place = dict[int, tuple[str, str | None]]


def workbook(*rows: tuple[Any, ...]) -> bytes:
    """A workbook with both sheets; the first order stands in row 2."""
    book = openpyxl.Workbook()
    orders = book.active
    assert orders is not None
    orders.title = ORDERS
    for row in (HEADER, *rows):
        orders.append(row)
    products = book.create_sheet(PRODUCTS)
    for product in (
        ("商品编号", "商品名称", "商品小类", "商品大类", "销售单价"),
        ("X001", "商品1", "面膜", "护肤品", 86),
    ):
        products.append(product)
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


def but(**changes: Any) -> tuple[Any, ...]:
    """The good order with other cells, named as in the header."""
    return tuple(changes.get(name, value) for name, value in zip(HEADER, GOOD, strict=True))


def deliver(world: World, content: bytes) -> World:
    """The same workbook in both feeds' folders, as history up to the start."""
    started = world.with_settings(start=CLOSED)
    for feed in FEEDS:
        shutil.copy(REPOSITORY / "include" / "feeds" / f"{feed}.yaml", world.settings.include / "feeds")
        folder = started.deliver(feed, "orders.xlsx", content, CLOSED).parent
        (folder / "_delivery.yaml").write_text("history: true\n", encoding="utf-8")
    started.run("ingest", CLOSED)
    started.run("clean", CLOSED)
    return started


def quarantined(world: World) -> Place:
    """(reason, column) by row of the sheet of orders."""
    found = world.rows("raw.quarantine", "line, reason, column_name, file")
    assert {file for *_, file in found} <= {f"orders.xlsx#{ORDERS}"}
    return {line: (reason, column) for line, reason, column, _ in found}


def test_each_dirty_cell_is_mended_by_a_declared_rule(world: World) -> None:
    world = deliver(
        world,
        workbook(
            GOOD,
            but(订单编码="订单号D20002", 订单日期="2019#3#11"),
            but(订单编码="D20003", 客户编码="编号S10001", 所在区域="西 区"),
            but(订单编码="D20004", 商品编号="商品X001", 所在区域="男区"),
            but(订单编码="D20005", 订购数量="1473个", 订购单价="８６元", 金额="126,678"),
            but(订单编码="D20006", 所在区域=None, 所在省份=None),
            but(商品编号="X999"),
        ),
    )
    assert quarantined(world) == {}
    night = datetime(2019, 9, 29, 16, tzinfo=UTC)
    assert world.rows("clean.events", "event_id, item_id, ts, quantity, value") == [
        ("D20001/X001", "X001", night, 3, Decimal("258.00")),
        ("D20001/X999", "X999", night, 3, Decimal("258.00")),
        ("D20002/X001", "X001", datetime(2019, 3, 10, 16, tzinfo=UTC), 3, Decimal("258.00")),
        ("D20003/X001", "X001", night, 3, Decimal("258.00")),
        ("D20004/X001", "X001", night, 3, Decimal("258.00")),
        ("D20005/X001", "X001", night, 1473, Decimal("126678.00")),
        ("D20006/X001", "X001", night, 3, Decimal("258.00")),
    ]
    assert len(world.rows("clean.events", "DISTINCT account")) == 1
    assert world.rows("clean.items", "item_id, title, type, tags, price") == [
        ("X001", "商品1", "面膜", ["护肤品"], Decimal("86.00"))
    ]


def test_what_no_rule_covers_is_quarantined_with_its_sheet_and_row(world: World) -> None:
    dirty = {
        "too_early": but(订单日期=datetime(2050, 6, 9)),  # noqa: DTZ001
        "unparseable_ts": but(订单日期="2019#13#11"),
        "unmatched_event_id": but(订单编码="退D20001"),
        "unmatched_user_id": but(客户编码="王女士"),
        "unmatched_item_id": but(商品编号="面膜"),
        "missing_item_id": but(商品编号=None),
        "missing_value": but(金额=None, 订购单价=None),
        "unparseable_quantity": but(订购数量="约3个"),
        "negative_quantity": but(订购数量=-3),
        "unparseable_订购单价": but(订购单价="面议"),
        "unknown_所在区域": but(所在区域="中区"),
    }
    world = deliver(world, workbook(*dirty.values()))
    columns = {"too_early": "ts", **{reason: reason.partition("_")[2] for reason in dirty if reason != "too_early"}}
    assert quarantined(world) == {row: (reason, columns[reason]) for row, reason in enumerate(dirty, 2)}
    assert world.rows("clean.events") == []


def test_the_same_order_twice_is_a_duplicate_and_a_changed_one_supersedes_it(world: World) -> None:
    world = deliver(world, workbook(GOOD, GOOD, but(订购数量=4), but(商品编号="X002")))
    assert world.rows("clean.events", "event_id, quantity") == [("D20001/X001", 4), ("D20001/X002", 3)]
    assert world.classes(CLOSED) == {"clean": 3, "duplicate": 1, "superseded": 1}  # with the product


# the real workbook ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sheet() -> pd.DataFrame:
    """The real orders by row of their sheet, cells as the file has them."""
    if not REAL.exists():
        pytest.skip(f"{REAL} is not there: the real workbook is not part of the project")
    cells = pd.read_excel(REAL, sheet_name=ORDERS, dtype=object)
    cells.index = pd.RangeIndex(2, len(cells) + 2)
    return cells


def meant(cells: pd.DataFrame) -> pd.DataFrame:
    """What the cells mean, worked out without the platform: digits and codes that stand in them."""
    days = cells["订单日期"].map(lambda cell: datetime.strptime(cell, "%Y#%m#%d") if isinstance(cell, str) else cell)  # noqa: DTZ007
    return pd.DataFrame(
        {
            "event_id": cells["订单编码"].str.extract(r"(D\d{5})$")[0]
            + "/"
            + cells["商品编号"].str.extract(r"(X\d{3})$")[0],
            "ts": pd.to_datetime(days) - timedelta(hours=8),
            "quantity": pd.to_numeric(cells["订购数量"].astype(str).str.extract(r"^(\d+)")[0]),
            "value": pd.to_numeric(cells["金额"]),
        }
    )


def expected_places(cells: pd.DataFrame) -> tuple[Place, set[int]]:
    """Rows to be quarantined, and rows that repeat an earlier one."""
    places: Place = {}
    for row, cell in cells["订单日期"].items():
        if isinstance(cell, datetime) and cell.date() > CLOSED:
            places[row] = ("too_early", "ts")
    for row in cells.index[cells["金额"].isna()]:
        reason = "missing_item_id" if pd.isna(cells["商品编号"][row]) else "missing_value"
        places[row] = (reason, reason.partition("_")[2])
    return places, set(cells.index[cells.duplicated()])


def test_each_of_the_real_orders_is_accounted_for(world: World, sheet: pd.DataFrame) -> None:
    places, repeated = expected_places(sheet)
    assert (len(sheet), len(places), len(repeated)) == (31452, 5, 6)
    world = deliver(world, REAL.read_bytes())
    assert quarantined(world) == places
    counts = dict(world.rows("derived.row_counts", "class, rows", "feed = 'cosmetics_orders'"))
    assert counts == {"clean": 31441, "quarantined": 5, "duplicate": 6}
    clean = meant(sheet.drop(index=[*places, *repeated])).sort_values("event_id")
    found = world.rows("clean.events", "event_id, timezone('UTC', ts), quantity, value", order="event_id")
    assert found == list(
        zip(clean["event_id"], clean["ts"], clean["quantity"], map(Decimal, clean["value"]), strict=True)
    )


def test_the_rules_mend_exactly_the_dirty_cells_of_the_real_workbook(world: World, sheet: pd.DataFrame) -> None:
    """How many cells each rule is for, counted in the file itself; the test above shows that they come through."""

    def cells(column: str, pattern: str) -> int:
        return int(sheet[column].map(lambda cell: bool(re.fullmatch(pattern, str(cell)))).sum())

    assert cells("订单日期", r"2019#3#\d+") == 2894
    assert [cells("订单编码", r"订单号D\d{5}"), cells("客户编码", r"编号S\d{5}"), cells("商品编号", r"商品X050")] == [
        1,
        1,
        1,
    ]
    assert [cells("订购数量", "1473个"), cells("订购单价", "86元")] == [1, 1]
    assert [cells("所在区域", "西 区"), cells("所在区域", "男区")] == [1133, 1]
    clean = r"(D\d{5}|2019-0\d-\d\d 00:00:00|S\d{5}|X\d{3}|\d+|nan|[东南西北]区)"
    others = {
        column: int((~sheet[column].map(lambda cell: bool(re.fullmatch(clean, str(cell))))).sum())
        for column in sheet.columns.difference(["所在省份", "所在地市"])
    }
    assert others == {
        "客户编码": 1, "商品编号": 1, "所在区域": 1134, "订购单价": 1, "订购数量": 1, "订单日期": 2895, "订单编码": 1,
        "金额": 0,
    }  # fmt: skip
    products = pd.read_excel(REAL, sheet_name=PRODUCTS)
    assert (
        products.set_index("商品编号")["销售单价"]["X050"] == sheet["订购单价"][sheet["商品编号"] == "商品X050"].item()
    )
