"""Candidate sources: each learns from a log and scores all items of a domain for people with a history."""

from crossdomain.recommend.offline.sources.als import Als
from crossdomain.recommend.offline.sources.base import Asked, Source
from crossdomain.recommend.offline.sources.content import Content
from crossdomain.recommend.offline.sources.ease import Ease
from crossdomain.recommend.offline.sources.knn import ItemKnn, PersonKnn
from crossdomain.recommend.offline.sources.mapping import VectorMapping
from crossdomain.recommend.offline.sources.person_ridge import PersonRidge
from crossdomain.recommend.offline.sources.popular import (
    DecayedPopularity,
    LatestPopularity,
    Popularity,
    SegmentPopularity,
)
from crossdomain.recommend.offline.sources.sequence import NextItem
from crossdomain.recommend.offline.sources.transitions import Transitions
from crossdomain.recommend.offline.sources.wide_ease import WideEase

SOURCES: dict[str, type[Source]] = {
    one.name: one
    for one in (
        Popularity, LatestPopularity, DecayedPopularity, SegmentPopularity, ItemKnn, PersonKnn, PersonRidge,
        Transitions, NextItem, Als, Ease, WideEase, VectorMapping, Content,
    )
}  # fmt: skip
"""All sources by name."""

__all__ = ["SOURCES", "Asked", "Source"]
