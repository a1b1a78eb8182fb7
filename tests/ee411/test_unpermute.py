"""Undoing the permutation on random smooth images, and the measures of how well it went."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from scipy.optimize import quadratic_assignment

from ee411 import unpermute
from ee411.unpermute import (
    CONFIDENT,
    EDGE_SHARES,
    ENOUGH,
    SHORT,
    Found,
    Grid,
    arrange,
    assess,
    embed,
    graph_distances,
    loosen,
    match,
    neighbour_score,
    partial_correlations,
    recover,
    swap,
    turn,
    turned_pieces,
)

SIDE = 12


def smooth_images(count=3000, side=SIDE, seed=0):
    """Return images (count, side²) of noise, smoothed so that neighbours are alike."""
    noise = np.random.default_rng(seed).normal(size=(count, side, side))
    smooth = gaussian_filter(noise, (0, 1, 1), mode="nearest")
    return np.maximum(smooth, 0).reshape(count, -1)


@pytest.mark.parametrize("seed", [0, 1])
def test_recovers_the_grid(seed):
    permutation = np.random.default_rng(seed).permutation(SIDE**2)
    order, score, confidence = recover(smooth_images(seed=seed)[:, permutation])
    assert 0.95 < confidence <= 1
    assert score == pytest.approx(
        neighbour_score(order, Grid.of(SIDE), partial_correlations(smooth_images(seed=seed)[:, permutation]))
    )
    assert_array_equal(np.sort(order), np.arange(SIDE**2))
    quality = assess(permutation[order])
    assert quality.neighbours == 1
    assert quality.displacement == 0
    assert_array_equal(permutation[order], quality.symmetry)


def test_survives_pixels_that_say_nothing():
    """Corners that never change, and pixels that repeat their neighbour, hardly disturb the others."""
    images = smooth_images()
    images[:, [0, SIDE - 1, SIDE**2 - SIDE, SIDE**2 - 1]] = 0
    images[:, 40] = images[:, 41]
    permutation = np.random.default_rng(2).permutation(SIDE**2)
    quality = assess(permutation[recover(images[:, permutation]).order])
    assert quality.neighbours > 0.9
    assert quality.displacement < 1


def test_noise_has_no_grid():
    """Images without any order of their own give some order, and a bad mark."""
    noise = np.random.default_rng(0).uniform(size=(500, 36))
    found = recover(noise)
    assert_array_equal(np.sort(found.order), np.arange(36))
    assert assess(found.order).neighbours < 0.4
    assert found.confidence < CONFIDENT


def test_restarts_go_on_until_it_is_enough(monkeypatch):
    """The best of several graphs is loosened; with a confidence that is high, no more are tried."""
    tried, confidences = [], {0.8: 0.8, 0.9: 0.97, 0.7: 0.9, 1.0: 0.5}

    def arrange(partial, side, share):
        tried.append(share)
        return Found(np.full(4, share), 10 * confidences[share], confidences[share])

    monkeypatch.setattr(unpermute, "arrange", arrange)
    monkeypatch.setattr(
        unpermute, "loosen", lambda order, grid, partial: tried.append(order[0]) or order[::-1]
    )
    monkeypatch.setattr(unpermute, "judge", lambda order, grid, partial: Found(order, 1.0, 0.1))
    images = np.random.default_rng(0).uniform(size=(10, 4))
    assert recover(images).order[0] == 0.9
    assert tried == [*EDGE_SHARES, 0.9] == [0.8, 0.9, 0.7, 1.0, 0.9]
    tried.clear()
    confidences[0.9] = ENOUGH
    assert recover(images).confidence == ENOUGH
    assert tried == [0.8, 0.9]


def test_swaps_mend_a_grid():
    """Two pixels changed: the swap back lifts the score most. Nothing is left that a swap would lift."""
    grid, right = Grid.of(6), np.random.default_rng(0).permutation(36)
    partial = np.zeros((36, 36))
    partial[np.ix_(right, right)] = grid.adjacent * np.random.default_rng(1).uniform(0.5, 1, (36, 36))
    partial = partial + partial.T
    for pair in ((7, 28), (14, 15)):  # far from each other, and neighbours
        wrong = right.copy()
        wrong[list(pair)] = right[list(pair[::-1])]
        before = wrong.copy()
        assert_array_equal(swap(wrong, grid, partial), right)
        assert_array_equal(wrong, before)
    shuffled = np.random.default_rng(2).permutation(36)
    mended = swap(shuffled, grid, partial)
    score = neighbour_score(mended, grid, partial)
    assert score > neighbour_score(shuffled, grid, partial)
    for i, j in zip(*np.triu_indices(36, 1), strict=True):
        other = mended.copy()
        other[[i, j]] = mended[[j, i]]
        assert neighbour_score(other, grid, partial) <= score + 1e-9


PIECES = [
    ("a corner, mirrored", (slice(0, 3), slice(0, 5)), lambda piece: piece[:, ::-1]),
    ("at the border, turned", (slice(9, 12), slice(3, 9)), lambda piece: piece[::-1, ::-1]),
    ("in the middle, upside down", (slice(4, 8), slice(4, 7)), lambda piece: piece[::-1]),
]


@pytest.mark.parametrize(("where", "change"), [it[1:] for it in PIECES], ids=[it[0] for it in PIECES])
def test_pieces_are_turned_back(where, change):
    """Where a piece lies the wrong way round, swaps alone are stuck below the true grid's score."""
    grid, partial = Grid.of(SIDE), partial_correlations(smooth_images())
    right = np.arange(SIDE**2)
    wrong = right.reshape(SIDE, SIDE).copy()
    wrong[where] = change(wrong[where])
    stuck = swap(wrong.ravel(), grid, partial)
    assert neighbour_score(stuck, grid, partial) < neighbour_score(right, grid, partial) - 0.1
    assert_array_equal(turn(stuck, grid, partial), right)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_what_lies_wrong_together_is_loosened(seed):
    """Of many pixels that have changed places some keep each other there: neither swaps nor turns mend it."""
    grid, partial = Grid.of(SIDE), partial_correlations(smooth_images())
    right, score = np.arange(SIDE**2), neighbour_score(np.arange(SIDE**2), grid, partial)
    moved = np.random.default_rng(seed).permutation(SIDE**2)[:110]
    wrong = right.copy()
    wrong[moved] = np.roll(wrong[moved], 1)
    stuck = turn(swap(wrong, grid, partial), grid, partial)
    assert neighbour_score(stuck, grid, partial) < score - 1
    assert_array_equal(loosen(stuck, grid, partial), right)


def test_pixels_that_all_fit_alike():
    """None fits worse than the others; so all are let go, and it ends."""
    found = loosen(np.arange(36), Grid.of(6), np.zeros((36, 36)))
    assert_array_equal(np.sort(found), np.arange(36))


@pytest.mark.parametrize("side", [2, 3, 9])
def test_turned_pieces(side):
    """Those that score most come first, each is another grid, and has each pixel once."""
    grid, random = Grid.of(side), np.random.default_rng(side)
    partial = random.random((side**2, side**2))
    partial += partial.T
    order = random.permutation(side**2)
    found = list(turned_pieces(order, partial))
    scores = [neighbour_score(turned, grid, partial) for turned in found]
    assert_allclose(scores, sorted(scores, reverse=True), rtol=0, atol=1e-9)
    for turned in found:
        assert_array_equal(np.sort(turned), np.arange(side**2))
        assert (turned != order).any()
    if side == 2:  # two rows and two columns reversed, and the whole mirrored twice and turned
        assert len(found) == 7
        assert len({tuple(turned) for turned in found}) == 7


def test_few_images_are_enough_with_few_others():
    """Given all others, there would be as many pixels as images here; given the nearest, it works."""
    permutation = np.random.default_rng(3).permutation(SIDE**2)
    images = smooth_images(200, seed=3)[:, permutation]
    found = recover(images)
    assert assess(permutation[found.order]).neighbours > 0.95


def test_shapes_and_offsets_do_not_matter():
    images = smooth_images(1000, 8)
    expected = recover(images).order
    assert_array_equal(recover(2 * images.reshape(-1, 1, 8, 8) - 1).order, expected)


def test_partial_correlations():
    """They are the correlations of what is left of two pixels when all others have explained theirs."""
    random = np.random.default_rng(0)
    roots = random.normal(size=(5000, 6)) @ (np.eye(6) + 0.3 * random.normal(size=(6, 6)))
    roots -= roots.min()
    found = partial_correlations(roots**2)
    centred = roots - roots.mean(axis=0)
    for i, j in ((0, 1), (2, 5), (4, 3)):
        others = np.delete(centred, [i, j], axis=1)
        pair = centred[:, [i, j]]
        left = pair - others @ np.linalg.lstsq(others, pair, rcond=None)[0]
        assert_allclose(found[i, j], np.corrcoef(left.T)[0, 1], atol=0.01)
    assert_array_equal(np.diag(found), 0)


def test_distances_and_embedding_of_the_true_grid():
    """From a graph that is the grid, embedding and matching alone give the grid."""
    grid = Grid.of(6)
    pixels = np.random.default_rng(0).permutation(36)
    strengths = grid.adjacent[np.ix_(pixels, pixels)]
    distances = graph_distances(strengths, 0.5)
    assert_array_equal(distances, grid.steps[np.ix_(pixels, pixels)])
    assert assess(pixels[embed(distances, 6)]).displacement < 1
    order = match(embed(distances, 6), grid.steps, distances)
    assert assess(pixels[order]).neighbours == 1
    assert neighbour_score(order, grid, strengths) == 60


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize("loosened", [0, 0.3, 1])
def test_match(seed, n, loosened):
    """It takes the steps that SciPy takes, whose matrices need not be symmetric."""
    random = np.random.default_rng(seed)
    cells, pixels = (m + m.T for m in random.normal(size=(2, n, n)))
    start = random.permutation(n)
    loose = random.permutation(n)[: int(loosened * n)]
    shares = np.eye(n)[start]
    for cell in loose:
        shares[cell] = sum(np.eye(n)[start[other]] for other in loose) / len(loose)
    found = match(start, cells, pixels, loose if loosened else None)
    options = {"maximize": True, "P0": shares, "tol": SHORT, "rng": random}
    expected = quadratic_assignment(cells, pixels, method="faq", options=options).col_ind
    assert_array_equal(found, expected)


def test_the_graph_is_connected():
    """The tree joins what the threshold leaves apart, over the strongest edges."""
    strengths = np.zeros((4, 4))
    for i, j, strength in ((0, 1, 0.9), (2, 3, 0.8), (1, 2, 0.3), (0, 3, 0.1)):
        strengths[i, j] = strengths[j, i] = strength
    assert_array_equal(graph_distances(strengths, 0.5)[0], [0, 1, 2, 3])


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_wrong_edges_are_judged_by_the_grid(monkeypatch, seed):
    """Shortcuts across the grid, as between mirrored halves, spoil the first round and not the last."""
    permutation = np.random.default_rng(seed).permutation(SIDE**2)
    partial = partial_correlations(smooth_images(seed=seed)[:, permutation])
    place = np.argsort(permutation).reshape(SIDE, SIDE)
    neighbours = Grid.of(SIDE).adjacent[np.ix_(permutation, permutation)] > 0
    for left, right in place[1:4, [1, -2]]:
        partial[left, right] = partial[right, left] = np.quantile(partial[neighbours], 0.2)
    assert assess(permutation[arrange(partial, SIDE, 0.9).order]).neighbours == 1
    monkeypatch.setattr(unpermute, "MAX_ROUNDS", 1)
    monkeypatch.setattr(unpermute, "turn", lambda order, *_: order)  # which mends some of it, too
    assert assess(permutation[arrange(partial, SIDE, 0.9).order]).neighbours < 0.9


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_assess_knows_the_symmetries(turns, mirrored):
    image = np.rot90(np.arange(25).reshape(5, 5), turns)
    order = (image[:, ::-1] if mirrored else image).ravel()
    quality = assess(order)
    assert quality[:2] == (1, 0)
    assert_array_equal(quality.symmetry, order)


def test_assess_measures():
    """Two neighbours in the middle swapped: 6 of 40 pairs lost, 2 pixels moved by 1 of 25."""
    order = np.arange(25)
    order[[12, 13]] = 13, 12
    assert_allclose(assess(order)[:2], (34 / 40, 2 / 25))
    shuffled = assess(np.random.default_rng(0).permutation(784))
    assert shuffled.neighbours < 0.02
    assert shuffled.displacement > 10


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5, 10), "square images, got 10 pixels"), ((1, 9), "at least 2 images"), ((9,), "at least 2 images")],
)
def test_bad_input(shape, message):
    with pytest.raises(ValueError, match=message):
        recover(np.zeros(shape))
