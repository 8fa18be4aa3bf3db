"""Text files made readable: decompressed, decoded strictly from the declared encoding, checked for NUL bytes.

DuckDB reads UTF-8 only, so that other encodings are rewritten to a temporary UTF-8 file; plain UTF-8 is
verified and read where it lies.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from crossdomain.errors import InputError

_CHUNK = 1 << 22
_LIKELY_UTF8 = 8
"""So many characters outside ASCII that are valid UTF-8 are no chance in a file of another encoding."""


@dataclass(frozen=True)
class PreparedText:
    """A UTF-8 text file to read.

    Attributes:
        path: The file itself or a temporary copy.
        lines: Physical lines, a last one without line end included.
        has_nul: Whether a NUL byte occurs.
    """

    path: Path
    lines: int
    has_nul: bool


def prepare_text(path: Path, encoding: str, copy: Path, *, unix_lines: bool = False) -> PreparedText:
    """Verifies a text file's encoding and gives a UTF-8 file with the same lines.

    Args:
        path: A text file; ``.gz`` is decompressed.
        encoding: The declared encoding: ``utf-8``, ``utf-8-sig`` (both with or without byte order mark) or
            ``gb18030``.
        copy: Where a temporary copy may be written, if one is needed.
        unix_lines: Whether CR LF must become LF.

    Raises:
        InputError: The file is truncated or unreadable, or not in the declared encoding; the message names
            file, line and byte.
    """
    is_utf8 = encoding.startswith("utf-8")
    needs_copy = path.suffix == ".gz" or not is_utf8 or unix_lines
    newlines, last, has_nul = 0, b"\n", False
    looks = _LooksLikeUtf8()
    with ExitStack() as stack:
        sink = stack.enter_context(copy.open("wb")) if needs_copy else None
        for chunk, text in _decoded(path, "utf-8" if is_utf8 else encoding):
            newlines += chunk.count(b"\n")
            has_nul = has_nul or b"\0" in chunk
            last = chunk[-1:] or last
            if not is_utf8:
                looks.feed(chunk)
            if sink is not None:
                data = chunk if is_utf8 else text.encode()
                sink.write(data.replace(b"\r\n", b"\n") if unix_lines else data)
    if not is_utf8 and looks.like_utf8:
        raise InputError(f"{path}: declared as {encoding}, but it is UTF-8 throughout: set encoding in the feed file")
    return PreparedText(copy if needs_copy else path, newlines + (last != b"\n"), has_nul)


def _decoded(path: Path, encoding: str) -> Iterator[tuple[bytes, str]]:
    """Chunks with their decoded text; a chunk ends behind a line, so that no character or CR LF is split."""
    offset, lines = 0, 0
    for chunk in _line_chunks(path):
        try:
            text = codecs.decode(chunk, encoding)
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
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if rest:
        yield rest


class _LooksLikeUtf8:
    """Whether bytes are valid UTF-8 with enough characters outside ASCII to be no chance."""

    def __init__(self) -> None:
        self._valid = True
        self._characters = 0

    def feed(self, chunk: bytes) -> None:
        if not self._valid:
            return
        try:
            text = chunk.decode("utf-8")
        except UnicodeDecodeError:
            self._valid = False
            return
        self._characters += sum(not character.isascii() for character in text)

    @property
    def like_utf8(self) -> bool:
        return self._valid and self._characters >= _LIKELY_UTF8
