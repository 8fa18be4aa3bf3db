"""Pictures of topics and similarity: the layout, and what is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from crossdomain.content.plots import DayShare, Histogram, TopicMark, similarity_distribution, topic_map, topic_shares
from crossdomain.content.report import PLOTS, plot_days, read_plot, write_plots
from crossdomain.content.topic_layout import hellinger_distances, plane, pushed_apart
from crossdomain.storage.home import Home

SVG = "{http://www.w3.org/2000/svg}"
DAY = date(2026, 1, 5)
HOSTILE = "<script>alert('&')</script>"


def drawn(picture: bytes, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(picture).iter(SVG + name))  # noqa: S314 - our own file


def texts(picture: bytes) -> list[str]:
    return [element.text or "" for element in drawn(picture, "text")]


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name])


def marks(count: int) -> list[TopicMark]:
    return [TopicMark(n + 1, f"主题{n}、词、词", (n + 1) / (count * (count + 1) / 2), n / count) for n in range(count)]


def mixtures(count: int, words: int = 40) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.full(words, 0.1), size=count)


def test_hellinger_distance_is_zero_for_the_same_and_one_for_nothing_in_common() -> None:
    found = hellinger_distances(np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0.25, 0.75, 0, 0]]))
    assert found[0] == pytest.approx([0, 0, 1, np.sqrt(1 - np.sqrt(0.125) - np.sqrt(0.375))])
    assert (found == found.T).all()


def test_distances_on_a_plane_are_kept() -> None:
    points = np.random.default_rng(2).normal(size=(9, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = plane(distances)
    assert np.linalg.norm(found[:, None] - found[None], axis=2) == pytest.approx(distances, abs=2e-3)
    assert found.mean(axis=0) == pytest.approx([0, 0], abs=1e-5)


def test_points_equally_far_from_each_other_do_not_fall_together() -> None:
    found = plane(1 - np.eye(12))
    apart = np.linalg.norm(found[:, None] - found[None], axis=2)[np.triu_indices(12, 1)]
    assert apart.min() > 0.2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_are_fine(count: int) -> None:
    assert plane(1 - np.eye(count)).shape == (count, 2)


def test_boxes_are_pushed_apart() -> None:
    rng = np.random.default_rng(3)
    points, halves = rng.normal(scale=20, size=(15, 2)), rng.uniform(5, 20, size=(15, 2))
    moved = pushed_apart(np.vstack([points, points[:1]]), np.vstack([halves, halves[:1]]))
    halves = np.vstack([halves, halves[:1]])
    for a, b in itertools.combinations(range(len(moved)), 2):
        assert (np.abs(moved[a] - moved[b]) >= halves[a] + halves[b] - 0.5).any(), (a, b)
    alone = np.array([[0.0, 0.0], [500.0, 0.0]])
    assert pushed_apart(alone, np.full((2, 2), 9.0)) == pytest.approx(alone, abs=0.01)


def test_the_map_shows_each_topic_by_size_colour_and_label_inside_the_paper() -> None:
    given = marks(20)
    picture = topic_map(given, hellinger_distances(mixtures(20)), caption="今天")
    circles = drawn(picture, "circle")
    sizes = [number(circle, "r") for circle in circles]
    assert sizes == sorted(sizes)
    assert len({circle.attrib["fill"] for circle in circles}) == 20
    for mark in given:
        assert mark.label in texts(picture)
    for circle in circles:
        assert number(circle, "r") <= number(circle, "cx") <= 1080 - number(circle, "r")
        assert 60 <= number(circle, "cy") - number(circle, "r") <= 700
    for a, b in itertools.combinations(circles, 2):
        apart = np.hypot(number(a, "cx") - number(b, "cx"), number(a, "cy") - number(b, "cy"))
        assert apart >= number(a, "r") + number(b, "r") - 1


def shares(days: int, topics: int = 12) -> list[DayShare]:
    weights = np.arange(1, topics + 1) / sum(range(1, topics + 1))
    return [
        DayShare(DAY + timedelta(days=day), n + 1, f"词{n}", float(weights[n]))
        for day in range(days)
        for n in range(topics)
    ]


def test_a_column_a_day_whose_parts_add_up() -> None:
    picture = topic_shares(shares(3), caption="三天", most=9)
    bars = [bar for bar in drawn(picture, "rect") if bar.find(f"{SVG}title") is not None]
    assert len(bars) == 3 * 10
    columns: dict[float, float] = {}
    for bar in bars:
        columns[number(bar, "x")] = columns.get(number(bar, "x"), 0.0) + number(bar, "height")
    assert len(columns) == 3
    assert list(columns.values()) == pytest.approx([460 - 84] * 3, abs=0.1)
    shown = texts(picture)
    assert {"01-05", "01-06", "01-07"} <= set(shown)
    assert any(text.startswith("词11") for text in shown)
    assert not any(text.startswith("词0 ") for text in shown)


def test_a_topic_that_comes_later_has_no_part_before() -> None:
    rows = [DayShare(DAY, 1, "旧", 1.0), DayShare(DAY + timedelta(days=1), 1, "旧", 0.5)]
    rows.append(DayShare(DAY + timedelta(days=1), 2, "新", 0.5))
    heights = [number(bar, "height") for bar in drawn(topic_shares(rows, caption=""), "rect") if len(bar)]
    assert sorted(heights) == pytest.approx([0, 0, 0, 188, 188, 376], abs=0.1)


def histogram(theta: float | None, real: Sequence[int] = (1000, 100, 10, 10)) -> Histogram:
    return Histogram("知识 → 美妆", (0.0, 0.25, 0.5, 0.75, 1.0), tuple(real), (1020, 100, 0, 0), theta, 20)


def test_theta_is_drawn_where_it_lies() -> None:
    picture = similarity_distribution([histogram(0.5)], caption="今天")
    (theta,) = [line for line in drawn(picture, "line") if "stroke-dasharray" in line.attrib]
    assert number(theta, "x1") == number(theta, "x2") == pytest.approx(64 + 446 / 2)
    assert "θ = 0.500 · 20 对 pairs" in texts(picture)
    (filled,) = drawn(picture, "polygon")
    heights = [float(point.split(",")[1]) for point in filled.attrib["points"].split()]
    assert heights[1] < heights[3] < heights[5] == heights[7] < heights[0]


def test_without_theta_the_picture_says_so() -> None:
    picture = similarity_distribution([histogram(None), histogram(None, (0, 0, 0, 0))], caption="今天")
    assert texts(picture).count("无 θ no threshold") == 2
    assert not [line for line in drawn(picture, "line") if "stroke-dasharray" in line.attrib]


def test_nothing_to_show_gives_a_picture_that_says_so() -> None:
    for picture in (
        topic_map([], np.zeros((0, 0)), caption=""),
        topic_shares([], caption=""),
        similarity_distribution([], caption=""),
    ):
        assert "无 none" in texts(picture)


def test_text_of_data_stays_text_and_nothing_is_executed_or_fetched() -> None:
    pictures = [
        topic_map([TopicMark(1, HOSTILE, 0.6, 0.5)], np.zeros((1, 1)), caption=HOSTILE),
        topic_shares([DayShare(DAY, 1, HOSTILE, 1.0)], caption=HOSTILE),
        similarity_distribution([Histogram(HOSTILE, (0.0, 1.0), (1,), (1,), None)], caption=HOSTILE),
    ]
    for picture in pictures:
        assert sum(HOSTILE in text for text in texts(picture)) >= 2
        names = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(picture).iter()}  # noqa: S314
        assert names <= {"svg", "title", "rect", "circle", "line", "polygon", "polyline", "text"}
        assert b"href" not in picture
        assert b"style" not in picture


def test_the_same_twice_gives_the_same_bytes() -> None:
    distances = hellinger_distances(mixtures(8))
    assert topic_map(marks(8), distances, caption="x") == topic_map(marks(8), distances, caption="x")
    assert topic_shares(shares(2), caption="x") == topic_shares(shares(2)[::-1], caption="x")


def test_pictures_of_a_day_are_found_again_and_nothing_else_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert plot_days(home) == []
    for step in (1, 0):
        write_plots(home, DAY + timedelta(days=step), {name: f"{name}{step}".encode() for name in PLOTS})
    assert plot_days(home) == [DAY, DAY + timedelta(days=1)]
    assert read_plot(home, "2026-01-06", "similarity") == b"similarity1"
    for day, name in (("2026-01-07", "similarity"), ("..", "similarity"), ("2026-01-05", "../2026-01-06/similarity")):
        assert read_plot(home, day, name) is None
