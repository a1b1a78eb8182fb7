"""Undoing the permutation: the grid of the pixels from what the permuted images alone show (exercise 2.6 c).

Neither labels nor coordinates are used, nor anything about Fashion-MNIST but that its images are square. The
idea is that a pixel is best predicted from its four neighbours:

1. ``partial_correlations``: of every two pixels, given all others. Plain correlations are high all over a
   garment and between its mirrored halves. Given all others, they nearly vanish except between neighbours.
2. ``graph_distances``: the strongest partial correlations are the edges of a graph. The number of edges
   between two pixels along its shortest path is about the number of rows plus columns between them.
3. ``embed``: multidimensional scaling turns these distances into points in a plane, and an optimal assignment
   hands each point a cell of the grid. That is right in the large and wrong in the small.
4. ``match``: a quadratic assignment moves pixels so that the distances on the grid fit those in the graph,
   and a second one so that neighbours on the grid have the highest sum of partial correlations.
5. Now that there is a grid, edges can be judged by it: one between pixels that lie far apart there has to be
   stronger than one between pixels that lie close. So wrong edges leave the graph, and right but weak ones,
   as at the border, where pixels are almost always 0, join it. Steps 2 and 4 are repeated until nothing
   changes.

The grid can be recovered only up to the symmetries of the square: nothing in the images tells left from
right, or rows from columns. A network that is trained on them does not mind.

SciPy is imported where it is used, so that all else of this folder does without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

Matrix: TypeAlias = NDArray[np.float64]
Order: TypeAlias = NDArray[np.int64]
"""The pixels (n,) in the order of the grid's cells, row by row."""

EDGE_SHARE = 0.9
"""How many edges the first graph has, as a share of those of the grid. With all of them the weakest would be
wrong: they would join the mirrored halves of garments, and fold the grid."""
REACH = 3
"""How far apart on the grid, in pixels, an edge as weak as the weakest of the first graph may be later on.

The method and these two numbers were developed with an eye on Fashion-MNIST's true grid. With 0.85 or 0.95,
and with 2 or 4, at least 95 % of the neighbours were still found in the runs tried.
"""
MAX_ROUNDS = 12


def recover_order(images: ArrayLike) -> Order:
    """Recover how the pixels of permuted images lie in the square.

    Args:
        images: (N, n) or (N, 1, side, side) with any order of the pixels, the same in all; values >= 0 (or >=
            -1: the least value counts as 0). There should be many more images than pixels.

    Returns:
        The order (n,) of the pixels: ``images[:, order].reshape(N, side, side)`` has neighbours next to each
        other.

    Raises:
        ValueError: the number of pixels is no square, or there are fewer than 2 images.
    """
    pixels = np.asarray(images, np.float32)
    if pixels.ndim < 2 or len(pixels) < 2:
        raise ValueError(f"expected at least 2 images with their pixels, got the shape {pixels.shape}")
    pixels = pixels.reshape(len(pixels), -1)
    side = math.isqrt(pixels.shape[1])
    if side**2 != pixels.shape[1] or side < 2:
        raise ValueError(f"expected square images, got {pixels.shape[1]} pixels")
    return arrange(partial_correlations(pixels), side)


def partial_correlations(pixels: ArrayLike) -> Matrix:
    """Compute the correlation of every two pixels given all the others, (n, n), with zeros on the diagonal.

    It is the inverse of the correlation matrix, scaled to a diagonal of 1, with the sign changed. The values'
    square roots are taken first: they spread the dark values, which are the most, and which the border has.

    Args:
        pixels: (N, n); the least value counts as 0.
    """
    pixels = np.asarray(pixels, np.float32)
    roots = np.sqrt(pixels - pixels.min())
    roots -= roots.mean(axis=0)
    spread = roots.std(axis=0)
    roots /= np.where(spread > 0, spread, 1)  # a pixel that never changes is correlated with none
    correlations = (roots.T @ roots).astype(np.float64) / len(roots)
    # The small ridge keeps this solvable where pixels repeat each other, or never change.
    precision = np.linalg.inv(correlations + 1e-4 * np.eye(len(correlations)))
    scale = np.sqrt(np.diag(precision))
    partial = -precision / np.outer(scale, scale)
    np.fill_diagonal(partial, 0)
    return partial


class Grid(NamedTuple):
    """The distances between the cells of a square grid, all (n, n).

    Attributes:
        steps: rows plus columns.
        straight: as the crow flies.
        adjacent: 1 for neighbours, else 0.
    """

    steps: Matrix
    straight: Matrix
    adjacent: Matrix

    @classmethod
    def of(cls, side: int) -> Grid:
        """Return the grid of side × side cells, row by row."""
        rows, columns = (np.subtract.outer(axis, axis) for axis in cells(side))
        steps = np.abs(rows) + np.abs(columns)
        return cls(steps.astype(float), np.hypot(rows, columns), (steps == 1).astype(float))


def cells(side: int) -> NDArray[np.int64]:
    """Return the rows and the columns (2, n) of a grid's cells."""
    return np.stack(np.divmod(np.arange(side**2), side))


def arrange(partial: Matrix, side: int) -> Order:
    """Arrange pixels in a grid by their partial correlations (n, n): steps 2 to 5."""
    grid = Grid.of(side)
    edges = round(EDGE_SHARE * grid.adjacent.sum() / 2)
    threshold = np.sort(partial[np.triu_indices(len(partial), 1)])[-edges]
    best = order = embed(graph_distances(partial, threshold), side)
    strengths = partial
    for _ in tqdm(range(MAX_ROUNDS), desc="recovering the grid", unit="round", disable=None, leave=False):
        previous = order
        order = match(order, grid.steps, graph_distances(strengths, threshold))
        order = match(order, grid.adjacent, partial)
        if neighbour_score(order, grid, partial) > neighbour_score(best, grid, partial):
            best = order
        if np.array_equal(order, previous):
            break
        place = np.argsort(order)
        strengths = partial * REACH / np.maximum(grid.straight[np.ix_(place, place)], 1)
    return best


def graph_distances(strengths: Matrix, threshold: float) -> Matrix:
    """Return the numbers of edges (n, n) between pixels in the graph of all edges at least that strong.

    The maximum spanning tree is added, so that the graph is connected.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree, shortest_path

    lengths = strengths.max() + 1 - strengths
    np.fill_diagonal(lengths, 0)  # which means: no edge
    tree = minimum_spanning_tree(lengths).toarray() > 0
    return shortest_path((strengths >= threshold) | tree, directed=False, unweighted=True)


def embed(distances: Matrix, side: int) -> Order:
    """Lay the pixels out in a plane by their distances, and assign them to the cells of a grid.

    Classical multidimensional scaling; of its turned copies the one is taken that lies closest to the grid.
    """
    from scipy.optimize import linear_sum_assignment

    centring = np.eye(len(distances)) - 1 / len(distances)
    values, vectors = np.linalg.eigh(-centring @ distances**2 @ centring / 2)
    points = vectors[:, -2:] * np.sqrt(values[-2:])
    centres = cells(side).T - (side - 1) / 2
    points *= centres.std() / points.std()
    assignments = []
    for angle in np.linspace(0, np.pi / 2, 16, endpoint=False):  # more would be the same again
        sine, cosine = np.sin(angle), np.cos(angle)
        turned = points @ np.array([[cosine, -sine], [sine, cosine]])
        costs = ((centres[:, np.newaxis] - turned) ** 2).sum(axis=-1)
        chosen = linear_sum_assignment(costs)
        assignments.append((costs[chosen].sum(), chosen[1]))
    return min(assignments, key=lambda assignment: assignment[0])[1]


def match(order: Order, of_cells: Matrix, of_pixels: Matrix) -> Order:
    """Improve an order so that Σ of_cells[k, l] · of_pixels[order[k], order[l]] grows.

    With the distances of both this is least squares, for Σ (a - b)² = const - 2 Σ a b. The problem is hard;
    "faq" follows its gradient through the doubly stochastic matrices to a local maximum.
    """
    from scipy.optimize import quadratic_assignment

    start = np.eye(len(order))[order]
    # Nothing is drawn, but scipy warns about NumPy's global state unless it is handed a generator.
    random = np.random.default_rng(0)
    options: dict[str, Any] = {"maximize": True, "P0": start, "tol": 1e-3, "rng": random}
    return quadratic_assignment(of_cells, of_pixels, method="faq", options=options).col_ind


def neighbour_score(order: Order, grid: Grid, partial: Matrix) -> float:
    """Return the sum of the partial correlations of all neighbours."""
    return float((grid.adjacent * partial[np.ix_(order, order)]).sum() / 2)


# ---------------------------------------------------------------------------------------------------
# How good is it? Only this knows the truth.
# ---------------------------------------------------------------------------------------------------


class Quality(NamedTuple):
    """How close a recovered grid is to the true one.

    Attributes:
        neighbours: the share of true neighbour pairs that are neighbours in the recovered grid.
        displacement: how far a pixel lies from its true place, mean, in pixels, under the best symmetry.
        symmetry: the true grid (n,) under that symmetry.
    """

    neighbours: float
    displacement: float
    symmetry: Order


def assess(order: ArrayLike) -> Quality:
    """Compare a grid with the true one.

    Args:
        order: (n,), for each cell the number of the pixel in it, true pixels being numbered row by row.
    """
    order = np.asarray(order)
    side = math.isqrt(len(order))
    grid = Grid.of(side)
    found = (grid.adjacent * grid.adjacent[np.ix_(order, order)]).sum() / grid.adjacent.sum()
    true = np.arange(len(order)).reshape(side, side)
    symmetries = [np.rot90(image, turns).ravel() for image in (true, true.T) for turns in range(4)]
    displacements = [grid.straight[order, symmetry].mean() for symmetry in symmetries]
    best = int(np.argmin(displacements))
    return Quality(float(found), float(displacements[best]), symmetries[best])


@dataclass(frozen=True)
class Permuted:
    """Images whose grid is to be recovered: a data set's training images under the permutation of a seed."""

    dataset: str
    seed: int

    @property
    def name(self) -> str:
        """A file name that no others have."""
        return f"{self.dataset}_grid_seed{self.seed}"

    def __str__(self) -> str:
        """Describe the task in a few words."""
        return f"Grid, seed {self.seed}"


@dataclass(frozen=True)
class Recovered:
    """A recovered grid, to be kept.

    Attributes:
        setting: what it was recovered from.
        order: the permuted pixels in the order of the grid's cells.
        neighbours, displacement: how good it is, as in ``Quality``.
    """

    setting: Permuted
    order: list[int]
    neighbours: float
    displacement: float

    def __post_init__(self) -> None:
        if sorted(self.order) != list(range(28 * 28)):
            raise ValueError(f"expected each of {28 * 28} pixels once, got {len(self.order)} numbers")

    def __str__(self) -> str:
        """Sum it up in a line."""
        return f"{self.neighbours:.2%} of the neighbours found"
