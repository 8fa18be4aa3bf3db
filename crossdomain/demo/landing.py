"""Landing files: the deliberately different formats of the demo feeds, written with stable bytes."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq


@dataclass(frozen=True)
class FeedFormat:
    """How a demo feed's files look.

    Attributes:
        columns: source columns in file order.
        format: csv, tsv, jsonl or parquet.
        encoding: text encoding; without meaning for parquet.
        gz: whether the file is gzipped.
        plain: text columns never need quotes, which writes faster.
    """

    columns: tuple[str, ...]
    format: str = "csv"
    encoding: str = "utf-8"
    gz: bool = False
    plain: bool = False

    def file_name(self, feed: str) -> str:
        """The name of the feed's one file of a delivery."""
        return f"{feed}.{self.format}{'.gz' if self.gz else ''}"


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FORMATS: dict[str, FeedFormat] = {
    "knowledge_users": FeedFormat(
        _columns("user_id nickname phone email gender birth_year province city registered_at updated_at wechat_openid")
    ),
    "beauty_users": FeedFormat(
        _columns("会员号 姓名 手机 邮箱 性别 出生年 省份 城市 注册日期 更新时间"), encoding="gb18030"
    ),
    "knowledge_items": FeedFormat(
        _columns("id title type description sample_text tags owner created_at price status num"), format="jsonl"
    ),
    "beauty_items": FeedFormat(
        _columns("商品编号 标题 类目 描述 详情 标签 品牌 上架日期 价格分 状态 销量 评论数"), encoding="gb18030"
    ),
    "knowledge_events": FeedFormat(
        _columns(
            "event_id user_id item_id event time amount quantity channel campaign session placement position ref_event"
        ),
        plain=True,
    ),
    "beauty_events": FeedFormat(
        _columns("id member sku action ts amount_fen num channel campaign session slot pos origin_id"),
        encoding="utf-8-sig",
        gz=True,
        plain=True,
    ),
    "reviews": FeedFormat(_columns("review_id domain user_id item_id rating text created_at")),
    "consents": FeedFormat(_columns("domain user_id purpose granted changed_at"), plain=True),
    "identity_links": FeedFormat(_columns("knowledge_user_id beauty_user_id linked_at method"), plain=True),
    "exposures": FeedFormat(_columns("experiment_id unit_type domain unit_id variant shown_at placement"), plain=True),
    "experiment_counts": FeedFormat(_columns("experiment variant day metric count"), plain=True),
    "campaign_costs": FeedFormat(_columns("campaign_id day channel cost_yuan"), plain=True),
    "coupons": FeedFormat(
        _columns("coupon_id campaign_id domain user_id issued_at amount_fen redeemed_event_id"), format="parquet"
    ),
    "sends": FeedFormat(_columns("send_id campaign_id domain user_id channel sent_at"), format="tsv", plain=True),
    "support_entries": FeedFormat(_columns("entry_id domain question answer")),
    "erasure_requests": FeedFormat(_columns("domain user_id requested_at"), plain=True),
}


@dataclass
class Landing:
    """Writes the deliveries of a world below `folder/landing`.

    A file is opened at its first rows and stays open until `close_day`, so that many business days can go into one
    history file without being held in memory.

    Attributes:
        root: the landing folder.
        rows: rows written by (feed, delivery day).
    """

    root: Path
    rows: Counter[tuple[str, date]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Start without open files."""
        self._open: dict[tuple[str, date], BinaryIO] = {}
        self._tables: dict[tuple[str, date], list[pa.Table]] = {}

    def add(self, feed: str, day: date, table: pa.Table) -> None:
        """Append a table's rows to a feed's delivery; the table has the feed's source columns in any order."""
        shape = FORMATS[feed]
        self.rows[feed, day] += table.num_rows
        if shape.format == "parquet":
            self._tables.setdefault((feed, day), []).append(table.select(shape.columns))
        else:
            self._file(feed, day).write(_delimited(table.select(shape.columns), shape))

    def add_lines(self, feed: str, day: date, lines: list[str]) -> None:
        """Append ready lines (JSON) to a feed's delivery."""
        self.rows[feed, day] += len(lines)
        text = "".join(f"{line}\n" for line in lines)
        self._file(feed, day).write(text.encode(FORMATS[feed].encoding))

    def close_day(self, day: date, *, history: bool) -> None:
        """Finish a delivery: every feed gets its file, header-only where it had no rows, and the history its note."""
        for feed, shape in FORMATS.items():
            if shape.format == "parquet":
                self._write_parquet(feed, day)
            else:
                self._file(feed, day).close()
                del self._open[feed, day]
            if history:
                note = f"history: true\nobserved: {day.isoformat()}\n"
                (self._folder(feed, day) / "_delivery.yaml").write_bytes(note.encode())

    def _folder(self, feed: str, day: date) -> Path:
        folder = self.root / feed / day.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _file(self, feed: str, day: date) -> BinaryIO:
        if (feed, day) not in self._open:
            shape = FORMATS[feed]
            file = _create(self._folder(feed, day) / shape.file_name(feed), gz=shape.gz)
            if shape.format in ("csv", "tsv"):
                header = _delimiter(shape).join(shape.columns) + "\n"
                file.write(header.encode(shape.encoding))
            self._open[feed, day] = file
        return self._open[feed, day]

    def _write_parquet(self, feed: str, day: date) -> None:
        shape = FORMATS[feed]
        empty = pa.schema([(name, pa.string()) for name in shape.columns]).empty_table()
        tables = self._tables.pop((feed, day), [empty])
        pq.write_table(pa.concat_tables(tables), self._folder(feed, day) / shape.file_name(feed), compression="zstd")


class _StableGzip(gzip.GzipFile):
    """A gzip file without name and time in its header, which also closes the file below."""

    def __init__(self, path: Path) -> None:
        self._below = path.open("wb")
        super().__init__(filename="", mode="wb", compresslevel=1, fileobj=self._below, mtime=0)

    def close(self) -> None:
        super().close()
        self._below.close()


def _create(path: Path, *, gz: bool) -> BinaryIO:
    return _StableGzip(path) if gz else path.open("wb")  # type: ignore[return-value]


def _delimiter(shape: FeedFormat) -> str:
    return "\t" if shape.format == "tsv" else ","


def _delimited(table: pa.Table, shape: FeedFormat) -> bytes:
    """Rows as delimited bytes without a header; blanks for nulls."""
    if not table.num_rows:
        return b""
    options = pa_csv.WriteOptions(
        include_header=False, delimiter=_delimiter(shape), quoting_style="none" if shape.plain else "needed"
    )
    sink = io.BytesIO()
    # For a chunk without rows PyArrow writes what its buffer happens to hold: leave no such chunk.
    pa_csv.write_csv(table.combine_chunks(), sink, options)
    written = sink.getvalue()
    # The byte-order mark of utf-8-sig stands before the header only.
    return written if shape.encoding.startswith("utf-8") else written.decode().encode(shape.encoding)
