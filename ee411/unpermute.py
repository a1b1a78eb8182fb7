"""Undoing the permutation: the grid of the pixels from what the permuted images alone show (exercise 2.6 c).

Neither labels nor coordinates are used, nor anything about Fashion-MNIST but that its images are square. The
idea is that a pixel is best predicted from its four neighbours:

1. ``partial_correlations``: of every two pixels, given the others. Plain correlations are high all over a
   garment and between its mirrored halves. Given the others, they nearly vanish except between neighbours.
   With few images "the others" must be few, too: to the 60 pixels that a pixel is most correlated with, which
   its neighbours are among, 1,000 images are many; to all 784 they are hardly more than pixels.
2. ``graph_distances``: the strongest partial correlations are the edges of a graph. The number of edges
   between two pixels along its shortest path is about the number of rows plus columns between them.
3. ``embed``: multidimensional scaling turns these distances into points in a plane, and an optimal assignment
   hands each point a cell of the grid. That is right in the large and wrong in the small.
4. ``match``: a quadratic assignment moves pixels so that the distances on the grid fit those in the graph,
   and a second one so that neighbours on the grid have the highest sum of partial correlations. ``swap``
   mends what is left between two pixels.
5. Now that there is a grid, edges can be judged by it: one between pixels that lie far apart there has to be
   stronger than one between pixels that lie close. So wrong edges leave the graph, and right but weak ones,
   as at the border, where pixels are almost always 0, join it. Steps 2 and 4 are repeated until nothing
   gets better.
6. A piece of the grid that lies in its place the wrong way round has almost all its neighbours right, and no
   swap of two pixels makes it better. So ``turn`` turns pieces, and swaps from there.
7. How many edges the first graph should have depends on the images: too many, and wrong ones fold the grid;
   too few, and it falls apart. So several numbers are tried, and the grid with the highest score is taken:
   the sum of its neighbours' partial correlations. Beside the most that such a sum could be it is a measure
   of confidence, for which nobody needs to know the truth.
8. With few images none is good enough: pixels lie wrong together, and each keeps the others there. So
   ``loosen`` lets go of all that fit worst, and of those around them, and matches neighbours anew.

The grid can be recovered only up to the symmetries of the square: nothing in the images tells left from
right, or rows from columns. A network that is trained on them does not mind.

SciPy is imported where it is used, so that all else of this folder does without it.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

Matrix: TypeAlias = NDArray[np.float64]
Order: TypeAlias = NDArray[np.int64]
"""The pixels (n,) in the order of the grid's cells, row by row."""

NEAREST = 60
"""Given how many pixels a partial correlation is computed, at most."""
EDGE_SHARES = (0.8, 0.9, 0.7, 1.0)
"""How many edges the first graph has, as a share of those of the grid; tried in turn."""
ENOUGH = 0.988
"""The confidence with which no further share is tried."""
CONFIDENT = 0.95
"""A grid with a lower confidence may be wrong."""
REACH = 3
"""How far apart on the grid, in pixels, an edge as weak as the weakest of the first graph may be later on.

The method and these numbers were developed with an eye on Fashion-MNIST's true grid.
"""
MAX_STEPS = 30
SHORT = 0.03
"""How short a step ends ``match``; 1 would be one that moves half of the pixels."""
POWER = 0.75
"""Of the distances that are matched."""
MAX_ROUNDS = 20
PATIENCE = 3  # so many rounds without a higher score are enough
LARGEST_PIECE = 8
"""The most rows and columns of a piece of the grid that is turned."""
PIECES = 60
"""How many are turned before no better grid is expected."""
LOOSE = (0.05, 0.1, 0.2, 0.3)
"""Which shares of the pixels are let go, those that fit worst; tried in turn."""


class Found(NamedTuple):
    """A grid that was found, and how much speaks for it.

    Attributes:
        order: the pixels (n,) in the order of the grid's cells.
        score: the sum of its neighbours' partial correlations.
        confidence: the score as a share of the most that any grid could have, the sum of the strongest
            partial correlations.
    """

    order: Order
    score: float
    confidence: float


def recover(images: ArrayLike) -> Found:
    """Recover how the pixels of permuted images lie in the square.

    Args:
        images: (N, n) or (N, 1, side, side) with any order of the pixels, the same in all; values >= 0 (or >=
            -1: the least value counts as 0). There should be more images than pixels.

    Returns:
        What was found: ``images[:, found.order].reshape(N, side, side)`` has neighbours next to each other.

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
    partial = partial_correlations(pixels)
    best = arrange(partial, side, EDGE_SHARES[0])
    for share in EDGE_SHARES[1:]:
        if best.confidence >= ENOUGH:
            break
        best = max(best, arrange(partial, side, share), key=lambda found: found.score)
    if best.confidence < ENOUGH:
        grid = Grid.of(side)
        best = judge(loosen(best.order, grid, partial), grid, partial)
    return best


def partial_correlations(pixels: ArrayLike) -> Matrix:
    """Compute the correlation of every two pixels given others, (n, n), with zeros on the diagonal.

    Given the pixels that the first of the two is most correlated with, at most ``NEAREST``, the second being
    one of them: that is a row of the inverse of their correlation matrix, scaled to a diagonal of 1, with the
    sign changed. The mean is taken of a pair's two; it is 0 where one is not among the other's nearest. The
    values' square roots are taken first: they spread the dark values, which are the most, and which the
    border has.

    Args:
        pixels: (N, n); the least value counts as 0.
    """
    pixels = np.asarray(pixels, np.float32)
    roots = np.sqrt(pixels - pixels.min())
    roots -= roots.mean(axis=0)
    spread = roots.std(axis=0)
    roots /= np.where(spread > 0, spread, 1)  # a pixel that never changes is correlated with none
    correlations = (roots.T @ roots).astype(np.float64) / len(roots)
    closeness = np.abs(correlations)
    np.fill_diagonal(closeness, np.inf)  # a pixel comes first among its nearest
    nearest = np.argsort(-closeness, axis=1)[:, : NEAREST + 1]
    among = correlations[nearest[:, :, np.newaxis], nearest[:, np.newaxis]]
    # The small ridge keeps this solvable where pixels repeat each other, or never change.
    precision = np.linalg.inv(among + 1e-4 * np.eye(nearest.shape[1]))
    scale = np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
    partial = np.full_like(correlations, np.nan)
    np.put_along_axis(partial, nearest, -precision[:, 0] / (scale[:, :1] * scale), axis=1)
    np.fill_diagonal(partial, 0)
    return np.nan_to_num((partial + partial.T) / 2)


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


def arrange(partial: Matrix, side: int, share: float) -> Found:
    """Arrange pixels in a grid by their partial correlations (n, n): steps 2 to 6.

    Args:
        partial: the partial correlations.
        side: of the grid.
        share: how many edges the first graph has, as a share of those of the grid.
    """
    grid = Grid.of(side)
    strongest = strongest_of(partial, grid)
    threshold = strongest[-round(share * len(strongest))]
    orders = [embed(graph_distances(partial, threshold), side)]
    scores = [neighbour_score(orders[0], grid, partial)]
    strengths = partial
    for _ in tqdm(range(MAX_ROUNDS), desc="recovering the grid", unit="round", disable=None, leave=False):
        # Powers below 1, since the longer a distance in the graph is, the less is to be believed of it.
        distances = graph_distances(strengths, threshold)
        order = match(orders[-1], grid.steps**POWER, distances**POWER)
        order = swap(match(order, grid.adjacent, partial), grid, partial)
        unchanged = np.array_equal(order, orders[-1])
        orders.append(order)
        scores.append(neighbour_score(order, grid, partial))
        if unchanged or len(scores) - np.argmax(scores) > PATIENCE:
            break
        place = np.argsort(order)
        strengths = partial * REACH / np.maximum(grid.straight[np.ix_(place, place)], 1)
    return judge(turn(orders[int(np.argmax(scores))], grid, partial), grid, partial)


def judge(order: Order, grid: Grid, partial: Matrix) -> Found:
    """Return an order with its score and its confidence."""
    score = neighbour_score(order, grid, partial)
    # The two sums may be the same, and rounded in other ways.
    return Found(order, score, min(1.0, score / strongest_of(partial, grid).sum()))


def strongest_of(partial: Matrix, grid: Grid) -> Matrix:
    """Return the strongest partial correlations in rising order, as many as the grid has edges."""
    edges = round(grid.adjacent.sum() / 2)
    return np.sort(partial[np.triu_indices(len(partial), 1)])[-edges:]


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


def match(order: Order, of_cells: Matrix, of_pixels: Matrix, loose: Order | None = None) -> Order:
    """Improve an order so that Σ of_cells[k, l] · of_pixels[order[k], order[l]] grows.

    With the distances of both this is least squares, for Σ (a - b)² = const - 2 Σ a b. The problem is hard.
    The Frank-Wolfe method ("FAQ", Vogelstein and others, 2015) lets a cell have shares P of many pixels: from
    P it goes towards the order that the gradient A P B likes best, as far as tr(P' A P B) grows, and in the
    end takes the order that is closest to P. SciPy has it as ``quadratic_assignment``, but for matrices that
    need not be symmetric, with seven products of matrices a step where one is enough.

    Args:
        order: the pixels (n,) to begin with.
        of_cells: A, symmetric (n, n).
        of_pixels: B, likewise.
        loose: cells that share their pixels evenly to begin with.
    """
    from scipy.optimize import linear_sum_assignment

    of_cells, of_pixels = of_cells.astype(np.float32), of_pixels.astype(np.float32)
    n = len(order)
    every = np.arange(n)
    shares = np.eye(n, dtype=np.float32)[order]
    if loose is not None:
        shares[np.ix_(loose, order[loose])] = 1 / len(loose)
    gradient = of_cells @ (shares @ of_pixels)
    # Row by row, as what follows: of an order each row is but one number, which float32 does not round.
    value = (gradient * shares).sum(axis=1).sum(dtype=np.float64)
    for _ in range(MAX_STEPS):
        _, towards = linear_sum_assignment(gradient, maximize=True)
        gradient_there = of_cells @ of_pixels[towards]
        between = gradient[every, towards].sum(dtype=np.float64)
        value_there = gradient_there[every, towards].sum(dtype=np.float64)
        # A part t of the way changes the value by slope · t + bend · t².
        slope, bend = 2 * (between - value), value - 2 * between + value_there
        t = 1.0 if bend >= 0 else min(1.0, -slope / (2 * bend))
        way = n + np.square(shares).sum() - 2 * shares[every, towards].sum()
        shares *= 1 - t
        shares[every, towards] += t
        gradient += t * (gradient_there - gradient)
        value += slope * t + bend * t**2
        if t * math.sqrt(max(way, 0) / n) < SHORT:
            break
    return linear_sum_assignment(shares, maximize=True)[1]


def swap(order: Order, grid: Grid, partial: Matrix) -> Order:
    """Swap the two pixels whose swap lifts the score most, until none does."""
    from scipy.sparse import csr_array

    order, adjacent = order.copy(), csr_array(grid.adjacent)
    while True:
        between = partial[np.ix_(order, order)]
        placed = adjacent @ between  # what the cell k would add to the score with the pixel of cell l in it
        present = np.diag(placed)
        gains = placed + placed.T - np.add.outer(present, present) + 2 * grid.adjacent * between
        best = np.unravel_index(np.argmax(gains), gains.shape)
        if gains[best] < 1e-9:
            return order
        order[list(best)] = order[list(best[::-1])]


def turn(order: Order, grid: Grid, partial: Matrix) -> Order:
    """Turn one of the ``PIECES`` that lose least by it, and swap from there, until that lifts no score."""
    score = neighbour_score(order, grid, partial)
    while True:
        for turned in itertools.islice(turned_pieces(order, partial), PIECES):
            other = swap(turned, grid, partial)
            if (its_score := neighbour_score(other, grid, partial)) > score + 1e-9:
                order, score = other, its_score
                break
        else:
            return order


def loosen(order: Order, grid: Grid, partial: Matrix) -> Order:
    """Let go of the pixels that fit worst, and of those around them, and match neighbours anew.

    That is done with one share of ``LOOSE`` after the other, until none lifts the score.
    """
    score, failures = neighbour_score(order, grid, partial), 0
    every = itertools.cycle(LOOSE)
    with tqdm(desc="loosening the grid", unit="match", disable=None, leave=False) as bar:
        while failures < len(LOOSE):
            fit = (grid.adjacent * partial[np.ix_(order, order)]).sum(axis=1) / grid.adjacent.sum(axis=1)
            worst = fit <= np.quantile(fit, next(every))
            loose = np.flatnonzero(worst | (grid.adjacent @ worst > 0))
            other = match(order, grid.adjacent, partial, loose)
            other = turn(swap(other, grid, partial), grid, partial)
            failures += 1
            if (its_score := neighbour_score(other, grid, partial)) > score + 1e-9:
                order, score, failures = other, its_score, 0
            bar.update()
    return order


def turned_pieces(order: Order, partial: Matrix) -> Iterator[Order]:
    """Yield orders in which a rectangle of cells is mirrored, or turned by 180°; first those that score most.

    Within it all neighbours stay neighbours, so the score changes by those around it alone.
    """
    side = math.isqrt(len(order))
    framed = np.pad(order.reshape(side, side), 1, constant_values=-1)
    strengths = np.pad(partial, (0, 1))  # of the frame, number -1, they are 0
    found = []
    for height, width in itertools.product(range(1, min(LARGEST_PIECE, side) + 1), repeat=2):
        windows = np.lib.stride_tricks.sliding_window_view(framed, (height + 2, width + 2))
        pieces = windows[..., 1:-1, 1:-1]
        around = score_around(pieces, windows, strengths)
        axes = [(-2,)] * (height > 1) + [(-1,)] * (width > 1) + [(-2, -1)] * (height > 1 and width > 1)
        for turned in (np.flip(pieces, axis) for axis in axes):
            gains = score_around(turned, windows, strengths) - around
            for place in np.argsort(-gains, axis=None, kind="stable")[:3]:
                row, column = np.unravel_index(place, gains.shape)
                where = slice(row, row + height), slice(column, column + width)
                found.append((gains[row, column], where, turned[row, column]))
    for _, where, piece in sorted(found, key=lambda it: -it[0]):
        image = order.reshape(side, side).copy()
        image[where] = piece
        yield image.ravel()


def score_around(pieces: Order, windows: Order, strengths: Matrix) -> Matrix:
    """Sum the strengths between pieces (..., h, w) and their frames in their windows (..., h + 2, w + 2)."""
    edges = (
        (pieces[..., 0, :], windows[..., 0, 1:-1]),
        (pieces[..., -1, :], windows[..., -1, 1:-1]),
        (pieces[..., 0], windows[..., 1:-1, 0]),
        (pieces[..., -1], windows[..., 1:-1, -1]),
    )
    return np.sum([strengths[edge].sum(axis=-1) for edge in edges], axis=0)


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
    """Images whose grid is to be recovered: the first training images, under a seed's permutation."""

    dataset: str
    seed: int
    images: int

    @property
    def name(self) -> str:
        """A file name that no others have."""
        return f"{self.dataset}_grid_images{self.images}_seed{self.seed}"

    def __str__(self) -> str:
        """Describe the task in a few words."""
        return f"Grid from {self.images:,} images, seed {self.seed}"


@dataclass(frozen=True)
class Recovered:
    """A recovered grid, to be kept.

    Attributes:
        setting: what it was recovered from.
        order: the permuted pixels in the order of the grid's cells.
        confidence: what speaks for it, as in ``Found``.
        confidence_of_truth: the same of the true grid. If it is lower, then the search is not to blame for
            what is wrong, but the images are too few.
        neighbours: the share of the neighbours that were found, as in ``Quality``.
        displacement: how far pixels lie from their places, as in ``Quality``.
        seconds: the time that it took.
    """

    setting: Permuted
    order: list[int]
    confidence: float
    confidence_of_truth: float
    neighbours: float
    displacement: float
    seconds: float

    def __post_init__(self) -> None:
        if sorted(self.order) != list(range(28 * 28)):
            raise ValueError(f"expected each of {28 * 28} pixels once, got {len(self.order)} numbers")

    def __str__(self) -> str:
        """Sum it up in a line, and say so if the grid is not to be trusted."""
        doubt = "" if self.confidence >= CONFIDENT else f", less than {CONFIDENT}: it may be wrong"
        return f"{self.neighbours:.2%} of the neighbours found, confidence {self.confidence:.3f}{doubt}"


def recover_known(setting: Permuted, pixels: NDArray[np.float32], reindex: Order) -> Recovered:
    """Recover the grid of images whose permutation is known, and measure how close it is to the true one.

    Args:
        setting: what it says of them.
        pixels: the permuted images (N, 784).
        reindex: the permutation (784,).
    """
    start = time.perf_counter()
    found = recover(pixels)
    seconds = time.perf_counter() - start
    partial, grid = partial_correlations(pixels), Grid.of(28)
    truth = neighbour_score(np.argsort(reindex), grid, partial) / strongest_of(partial, grid).sum()
    quality = assess(reindex[found.order])
    return Recovered(
        setting,
        found.order.tolist(),
        found.confidence,
        truth,
        quality.neighbours,
        quality.displacement,
        seconds,
    )
