"""Text files made readable: decompressed, decoded strictly from the declared encoding, checked for NUL bytes.

DuckDB reads UTF-8 only, so that other encodings are rewritten to a temporary UTF-8 file; plain UTF-8 is
verified and read where it lies. Decoding without an error proves little where nearly all bytes are characters:
Latin-1 takes any file and GB18030 many, so that a file that is declared so is also held against the encodings
that it is commonly taken for.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.storage.home import explained

_CHUNK = 1 << 22
_LIKELY_UTF8 = {"gb18030": 8, "latin-1": 1, "cp1252": 1}
"""So many characters outside ASCII that are all valid UTF-8 are no chance in a file of another encoding."""
_LIKELY_GB18030 = 4
"""So many bytes outside ASCII, most of them beside another one, are no chance in a Western text."""
_UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MOSTLY_NUL = 0.3
_UNWRITTEN = 0.05
"""GB18030 has a place for every private character; text that has more of them is of another encoding."""
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_CONTROL = re.compile(rb"[\x80-\x9f]")


@dataclass(frozen=True)
class PreparedText:
    """A UTF-8 text file to read.

    Attributes:
        path: The file itself or a temporary copy.
        lines: Physical lines, a last one without line end included.
        has_nul: Whether a NUL byte occurs.
        remarks: What is not as declared and does no harm.
    """

    path: Path
    lines: int
    has_nul: bool
    remarks: tuple[str, ...] = ()


def prepare_text(path: Path, encoding: str, copy: Path, *, unix_lines: bool = False) -> PreparedText:
    """Verifies a text file's encoding and gives a UTF-8 file with the same lines.

    Args:
        path: A text file; ``.gz`` is decompressed.
        encoding: The declared encoding: ``utf-8``, ``utf-8-sig`` (both with or without byte order mark),
            ``gb18030``, ``latin-1`` or ``cp1252``.
        copy: Where a temporary copy may be written, if one is needed.
        unix_lines: Whether CR LF must become LF.

    Raises:
        InputError: The file is truncated or unreadable, or not in the declared encoding; the message names
            file, line and byte.
        CrossdomainError: The copy cannot be written.
    """
    is_utf8 = encoding.startswith("utf-8")
    needs_copy = path.suffix == ".gz" or not is_utf8 or unix_lines
    newlines, last, has_nul = 0, b"\n", False
    looks, first = _Looks(path, encoding), b""
    try:
        with ExitStack() as stack:
            sink = stack.enter_context(copy.open("wb")) if needs_copy else None
            for chunk, text in _decoded(path, "utf-8" if is_utf8 else encoding):
                first = first or chunk[: len(_UTF8_MARK)]
                newlines += chunk.count(b"\n")
                has_nul = has_nul or b"\0" in chunk
                last = chunk[-1:] or last
                if not is_utf8:
                    looks.feed(chunk, text)
                if sink is not None:
                    data = chunk if is_utf8 else text.encode()
                    sink.write(data.replace(b"\r\n", b"\n") if unix_lines else data)
    except OSError as error:  # of the copy: those of the file say so themselves
        raise CrossdomainError(f"cannot write {copy}, the copy to read of {path}: {explained(error)}") from error
    looks.refuse_other()
    lines = newlines + (last != b"\n")
    return PreparedText(copy if needs_copy else path, lines, has_nul, _remarks(encoding, first == _UTF8_MARK, lines))


def _remarks(encoding: str, marked: bool, lines: int) -> tuple[str, ...]:
    if encoding == "utf-8" and marked:
        return ("begins with a byte order mark; the feed's encoding would be utf-8-sig",)
    if encoding == "utf-8-sig" and not marked and lines:
        return ("declared as utf-8-sig, but has no byte order mark",)
    return ()


def _decoded(path: Path, encoding: str) -> Iterator[tuple[bytes, str]]:
    """Chunks with their decoded text; a chunk ends behind a line, so that no character or CR LF is split.

    Of UTF-8, which DuckDB reads as it is, the text is left empty where it is ASCII and so needs no decoding.
    """
    offset, lines = 0, 0
    for chunk in _line_chunks(path):
        if not offset:
            _refuse_other_marks(path, chunk, encoding)
        try:
            text = "" if encoding == "utf-8" and chunk.isascii() else codecs.decode(chunk, encoding)
        except UnicodeDecodeError as error:
            line = lines + chunk.count(b"\n", 0, error.start) + 1
            raise InputError(
                f"{path}: line {line}, byte {offset + error.start}: not {encoding} "
                f"(0x{chunk[error.start]:02x}); set the feed's encoding to the file's, or have it delivered again"
            ) from None
        yield chunk, text
        offset += len(chunk)
        lines += chunk.count(b"\n")


def _line_chunks(path: Path) -> Iterator[bytes]:
    rest = b""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while block := file.read(_CHUNK):
                end = block.rfind(b"\n") + 1
                if not end:
                    rest += block
                    continue
                yield rest + block[:end]
                rest = block[end:]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: truncated or not gzip ({error}); have it delivered again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {explained(error)}") from None
    if rest:
        yield rest


def _refuse_other_marks(path: Path, begin: bytes, encoding: str) -> None:
    """Refuses what the first bytes show to be another encoding than the declared one."""
    sample = begin[:4096]
    if begin.startswith(_UTF16_MARKS) or sample.count(0) > _MOSTLY_NUL * len(sample):
        raise InputError(f"{path}: is UTF-16, not {encoding}; have it exported as UTF-8")
    if encoding != "utf-8" and begin.startswith(_UTF8_MARK):
        raise InputError(
            f"{path}: declared as {encoding}, but begins with the byte order mark of UTF-8: set encoding: utf-8-sig "
            "in the feed file"
        )


class _Looks:
    """What a file that is declared as anything but UTF-8 looks like, over all of its chunks."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._path = path
        self._encoding = encoding
        self._utf8 = _Decoding("utf-8")
        self._gb18030 = _Decoding("gb18030")
        self._high = 0
        self._beside = 0
        self._foreign = 0
        self._private = 0
        self._lines = 0
        self._control: tuple[int, int] | None = None

    def feed(self, chunk: bytes, text: str) -> None:
        self._utf8.feed(chunk)
        if self._encoding == "gb18030":
            self._foreign += len(text) - len(text.encode("ascii", errors="ignore"))
            self._private += len(_PRIVATE.findall(text))
            return
        self._gb18030.feed(chunk)
        for run in _HIGH_RUN.findall(chunk):
            self._high += len(run)
            self._beside += len(run) if len(run) > 1 else 0
        if self._control is None and (found := _CONTROL.search(chunk)):
            self._control = (self._lines + chunk.count(b"\n", 0, found.start()) + 1, found[0][0])
        self._lines += chunk.count(b"\n")

    def refuse_other(self) -> None:
        """Refuses a file that is another encoding's.

        Raises:
            InputError: It is UTF-8 throughout, looks like Chinese text, or holds bytes that the declared encoding
                has no character for.
        """
        if self._encoding.startswith("utf-8"):
            return
        declared = f"{self._path}: declared as {self._encoding}, but"
        if self._utf8.valid and self._utf8.characters >= _LIKELY_UTF8[self._encoding]:
            raise InputError(f"{declared} it is UTF-8 throughout: set encoding in the feed file")
        if self._private > _UNWRITTEN * self._foreign:
            raise InputError(f"{declared} many of its characters would be such as nobody writes: is it Big5?")
        if self._gb18030.valid and self._high >= _LIKELY_GB18030 and self._beside > self._high / 2:
            raise InputError(f"{declared} its bytes come in pairs like Chinese text: is it gb18030?")
        if self._encoding == "latin-1" and self._control is not None:
            line, octet = self._control
            raise InputError(f"{declared} line {line} holds 0x{octet:02x}, a control character there: is it cp1252?")


class _Decoding:
    """Whether bytes are valid in an encoding, and how many characters outside ASCII they are."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self.valid = True
        self.characters = 0

    def feed(self, chunk: bytes) -> None:
        if not self.valid:
            return
        try:
            text = chunk.decode(self._encoding)
        except UnicodeDecodeError:
            self.valid = False
            return
        if not text.isascii():
            self.characters += sum(not character.isascii() for character in text)
