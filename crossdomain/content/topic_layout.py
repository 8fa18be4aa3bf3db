"""Topics on a plane: near where their words are alike."""

from __future__ import annotations

import numpy as np


def hellinger_distances(topic_word: np.ndarray) -> np.ndarray:
    """Hellinger distance of each two topics' word probabilities: √(1 − Σ √(p q)), 0 to 1.

    Args:
        topic_word: Word probabilities, (topics, words), each row with sum one.

    Returns:
        (topics, topics), symmetric, zeros on the diagonal.
    """
    root = np.sqrt(topic_word)
    distances: np.ndarray = np.sqrt(np.clip(1 - root @ root.T, 0, None))
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0)
    return distances


def plane(distances: np.ndarray) -> np.ndarray:
    """Points whose distances are as near as may be to those given (metric scaling).

    Begins with classical scaling (Torgerson 1952), whose axes are those of greatest spread, and goes on by stress
    majorisation (de Leeuw 1977), which keeps points apart that are equally far from each other. Of each axis the sign
    is such that the point farthest from the middle lies on its positive side, so that the same distances give the
    same picture.

    Args:
        distances: (points, points), symmetric.

    Returns:
        (points, 2), the middle at zero.
    """
    count = len(distances)
    if count < 2:
        return np.zeros((count, 2))
    centre = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centre @ distances**2 @ centre)
    points = np.zeros((count, 2))
    for axis, place in enumerate(np.argsort(-values, kind="stable")[:2]):
        along = vectors[:, place] * np.sqrt(max(0.0, values[place]))
        farthest = int(np.argmax(np.round(np.abs(along), 9)))
        points[:, axis] = along if along[farthest] >= 0 else -along
    found: np.ndarray = np.round(_majorised(points + _ring(count), distances), 6)
    return found


def pushed_apart(points: np.ndarray, halves: np.ndarray, *, steps: int = 500) -> np.ndarray:
    """The points moved so that boxes around them do not overlap: each two that do are moved apart, step by step.

    Args:
        points: (points, 2).
        halves: Half the width and half the height of each box, (points, 2).
        steps: Most rounds.

    Returns:
        (points, 2); near to the given ones.
    """
    moved = points + _ring(len(points))
    wanted = halves[:, None, :] + halves[None, :, :]
    for _ in range(steps):
        apart = moved[:, None, :] - moved[None, :, :]
        overlap = np.clip(wanted - np.abs(apart), 0, None)
        overlap[(overlap <= 1e-6).any(axis=2)] = 0
        overlap[np.arange(len(moved)), np.arange(len(moved))] = 0
        if not overlap.any():
            break
        # Along the axis on which there is less to go.
        shorter = np.argmin(overlap, axis=2)[:, :, None] == np.arange(2)
        moved += (np.where(apart >= 0, 1, -1) * overlap * shorter * 0.5).sum(axis=1) * 0.7
    rounded: np.ndarray = np.round(moved, 6)
    return rounded


def _majorised(points: np.ndarray, distances: np.ndarray, *, steps: int = 300) -> np.ndarray:
    for _ in range(steps):
        apart = np.linalg.norm(points[:, None, :] - points[None, :, :], axis=2)
        ratio = np.divide(distances, apart, out=np.zeros_like(distances), where=apart > 1e-9)
        moved = (np.diag(ratio.sum(axis=1)) - ratio) @ points / len(points)
        if np.abs(moved - points).max() < 1e-6:
            break
        points = moved
    centred: np.ndarray = points - points.mean(axis=0)
    return centred


def _ring(count: int) -> np.ndarray:
    """Very small steps, another for each point: two at the very same place part in a way that only their order says."""
    angles = 2 * np.pi * np.arange(count) / max(1, count)
    steps: np.ndarray = 1e-3 * np.column_stack([np.cos(angles), np.sin(angles)])
    return steps
