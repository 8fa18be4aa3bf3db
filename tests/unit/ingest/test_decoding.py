from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from crossdomain.errors import InputError
from crossdomain.ingest.decoding import prepare_text

TEXT = "名称,价格\n补水面霜,139\n修护精华🙂,88\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_gives_the_same_text(tmp_path: Path, encoding: str, packed: bool) -> None:
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    data = TEXT.encode(encoding)
    path.write_bytes(gzip.compress(data) if packed else data)
    prepared = prepare_text(path, encoding, tmp_path / "copy")
    assert prepared.path.read_text(encoding="utf-8-sig") == TEXT
    assert (prepared.lines, prepared.has_nul) == (3, False)


def test_plain_utf8_is_read_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TEXT, encoding="utf-8")
    assert prepare_text(path, "utf-8", tmp_path / "copy").path == path


def test_last_line_without_end_and_nul_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\nb\0c")
    prepared = prepare_text(path, "utf-8", tmp_path / "copy")
    assert (prepared.lines, prepared.has_nul) == (2, True)


def test_gb18030_under_the_name_of_utf8_is_refused_with_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id\n" + "面霜".encode("gb18030"))
    with pytest.raises(InputError, match=r"a\.csv: line 2, byte 3: not utf-8 \(0xc3\)"):
        prepare_text(path, "utf-8", tmp_path / "copy")


def test_utf8_under_the_name_of_gb18030_is_refused_although_it_decodes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("中文知识\n" * 3, encoding="utf-8")
    with pytest.raises(InputError, match="declared as gb18030, but it is UTF-8"):
        prepare_text(path, "gb18030", tmp_path / "copy")


@pytest.mark.parametrize("content", [gzip.compress(TEXT.encode() * 99, mtime=0)[:-20], b"no gzip at all"])
def test_truncated_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv\.gz: truncated or not gzip"):
        prepare_text(path, "utf-8", tmp_path / "copy")


def test_crlf_becomes_lf_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\r\n{}\r\n")
    assert prepare_text(path, "utf-8", tmp_path / "copy", unix_lines=True).path.read_bytes() == b"{}\n{}\n"
