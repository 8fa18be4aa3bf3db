"""A small SVG writer: shapes and text with attributes only, so that a page's content policy has nothing to refuse.

The same calls give the same bytes: coordinates are rounded, attributes stand in the order given. Text stays text, drawn
by the reader's fonts; of Chinese characters a reader without any sees boxes, never a broken file.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

FONT = "system-ui, 'Noto Sans CJK SC', 'Noto Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
INK, SOFT, LINE, PAPER = "#1a202c", "#5b6472", "#d9dee5", "#ffffff"


class Drawing:
    """Shapes on white paper, in pixels from the top left."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height = width, height
        self._parts = [f"<title>{escape(title)}</title>"]
        self.rect(0, 0, width, height, fill=PAPER)

    def rect(self, x: float, y: float, width: float, height: float, *, title: str = "", **look: float | str) -> None:
        """A rectangle; ``title`` shows when the pointer rests on it."""
        self._add("rect", title, {"x": x, "y": y, "width": width, "height": height, **look})

    def circle(self, x: float, y: float, radius: float, *, title: str = "", **look: float | str) -> None:
        """A circle."""
        self._add("circle", title, {"cx": x, "cy": y, "r": radius, **look})

    def line(self, x1: float, y1: float, x2: float, y2: float, **look: float | str) -> None:
        """A line."""
        self._add("line", "", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, **look})

    def path(self, points: list[tuple[float, float]], *, closed: bool = False, **look: float | str) -> None:
        """Straight lines from point to point."""
        steps = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._add("polygon" if closed else "polyline", "", {"points": steps, **look})

    def text(self, x: float, y: float, text: str, *, size: float = 12, fill: str = INK, **look: float | str) -> None:
        """A line of text that begins (or, by ``text_anchor``, ends or is centred) at a point on its base line."""
        attributes = _attributes({"x": x, "y": y, "font_size": size, "fill": fill, **look})
        self._parts.append(f"<text{attributes}>{escape(text)}</text>")

    def to_bytes(self) -> bytes:
        """The file."""
        width, height = _number(self.width), _number(self.height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family={quoteattr(FONT)} role="img">'
        )
        return "\n".join([head, *self._parts, "</svg>\n"]).encode()

    def _add(self, name: str, title: str, attributes: dict[str, float | str]) -> None:
        said = f"<{name}{_attributes(attributes)}"
        self._parts.append(f"{said}><title>{escape(title)}</title></{name}>" if title else f"{said}/>")


def text_width(text: str, size: float) -> float:
    """About how wide a text is drawn, in pixels: Chinese as wide as high, Latin over half of that."""
    return sum(size if ord(character) > 0x2E7F else 0.56 * size for character in text)


def _attributes(given: dict[str, float | str]) -> str:
    return "".join(f" {name.replace('_', '-')}={quoteattr(_number(value))}" for name, value in given.items())


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
