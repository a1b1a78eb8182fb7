"""Checks every claim of bonus_proof.md. The tests name the steps and the numbered formulas they check.

The symbols are the proof's: L hidden layers, L + 1 matrices, widths n_0 to n_{L+1}, C = YXᵀ, the product P,
and for each l the products B_l and F_l of the matrices behind and before W_l.
"""
# ruff: noqa: E741, N803, N806  (such symbols)

from __future__ import annotations

import itertools
import math
import re
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
import pytest
import sympy
import torch
from torch.autograd.functional import hessian, jacobian
from torch.testing import assert_close

pytestmark = pytest.mark.fast

TIGHT = {"rtol": 1e-11, "atol": 1e-11}
POINTS = 32  # roots of unity: enough for polynomials of a degree below 32


class Problem(NamedTuple):
    """A data set and a network's widths, (n_0, ..., n_{L+1})."""

    widths: tuple[int, ...]
    X: torch.Tensor
    Y: torch.Tensor

    @property
    def L(self):
        return len(self.widths) - 2

    @property
    def C(self):
        return self.Y @ self.X.T

    @property
    def loss_at_zero(self):
        return (self.Y**2).sum() / 2

    @property
    def shapes(self):
        return [(outputs, inputs) for inputs, outputs in itertools.pairwise(self.widths)]

    def loss(self, *weights):
        """Return the loss of handout section 4, as a polynomial: complex weights can be inserted."""
        X, Y = self.X.to(weights[0].dtype), self.Y.to(weights[0].dtype)
        for W in weights:
            X = W @ X
        return ((Y - X) ** 2).sum() / 2

    def flat_loss(self, flat):
        """Return the loss as a function of one vector, the entries of W_0, then those of W_1, ..."""
        parts = flat.split([outputs * inputs for outputs, inputs in self.shapes])
        return self.loss(*(part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)))

    def zeros(self):
        return [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in self.shapes]

    def draw(self, seed):
        """Draw weights; each matrix has norm 1, so that no depth needs a tolerance of its own."""
        matrices = [normal(np.random.RandomState(seed + l), *shape) for l, shape in enumerate(self.shapes)]
        return [W / W.norm() for W in matrices]


def normal(random, *shape):
    return torch.from_numpy(random.normal(size=shape))


def make_problem(widths, samples=5):
    random = np.random.RandomState([*widths, samples])
    return Problem(widths, normal(random, widths[0], samples), normal(random, widths[-1], samples))


def without_correlation(widths, samples=9):
    """Return a problem with YXᵀ = 0, where neither X nor Y is zero."""
    problem = make_problem(widths, samples)
    X_inverse = torch.linalg.pinv(problem.X)
    return problem._replace(Y=problem.Y - problem.Y @ X_inverse @ problem.X)


def random_networks():
    """Draw widths for one to five hidden layers."""
    random = np.random.RandomState(2)
    return [tuple(random.randint(1, 5, size=L + 2).tolist()) for L in (1, 2, 3, 4, 5) for _ in range(2)]


CHOSEN = [
    (1, 1, 1),
    (1, 1, 1, 1),
    (2, 3, 2),
    (3, 1, 3),
    (4, 2, 3),
    (3, 3, 4, 3),
    (3, 2, 1, 2, 3),
    (2, 3, 2, 4, 2),
]
NETWORKS = list(dict.fromkeys(CHOSEN + random_networks()))
SIGNS = (1, -1)


def networks(condition=lambda L: True):
    """Run a test for every network whose number of hidden layers meets a condition."""
    chosen = [
        pytest.param(make_problem(w), id="-".join(map(str, w))) for w in NETWORKS if condition(len(w) - 2)
    ]
    return pytest.mark.parametrize("problem", chosen)


def product(matrices, size):
    """Return the product of matrices, the first being the rightmost; of none, the identity."""
    return reduce(lambda right, left: left @ right, matrices, torch.eye(size, dtype=torch.float64))


def around(weights, l):
    """Return B_l and F_l."""
    return product(weights[l + 1 :], weights[l].shape[0]), product(weights[:l], weights[0].shape[1])


def whole(weights):
    """Return P."""
    return product(weights, weights[0].shape[1])


def gradient(problem, weights):
    weights = [W.detach().requires_grad_() for W in weights]
    return torch.autograd.grad(problem.loss(*weights), weights)


def inner(A, B):
    return torch.trace(A.T @ B)


def scaled(weights, t):
    return [t * W for W in weights]


def entry_pair(C):
    """Return Step 4's unit vectors u and v for the largest entry of C."""
    i, j = divmod(int(C.abs().argmax()), C.shape[1])
    u, v = torch.zeros(C.shape[0], dtype=C.dtype), torch.zeros(C.shape[1], dtype=C.dtype)
    u[i], v[j] = C[i, j].sign(), 1
    return u, v


def singular_pair(C):
    """Return Step 4's unit vectors u and v as the leading singular vectors of C."""
    left, _, right = torch.linalg.svd(C)
    return left[:, 0], right[0]


pairs = pytest.mark.parametrize("pair", [entry_pair, singular_pair])


def rank_one(problem, u, v, s=1):
    """Return Step 4's matrices A_l, the last one with the sign s."""
    firsts = [torch.eye(n, dtype=torch.float64)[0] for n in problem.widths[1:-1]]
    matrices = [torch.outer(behind, before) for before, behind in itertools.pairwise([v, *firsts, u])]
    return [*matrices[:-1], s * matrices[-1]]


def coefficients(problem, direction):
    """Return the coefficients of the polynomial t -> loss(t · direction), of degree 0 to POINTS - 1."""
    roots = torch.exp(2j * math.pi * torch.arange(POINTS, dtype=torch.float64) / POINTS)
    values = torch.stack([problem.loss(*scaled(direction, root)) for root in roots])
    found = torch.fft.fft(values) / POINTS
    assert_close(found.imag, torch.zeros_like(found.imag), **TIGHT)
    return found.real


def expected_coefficients(problem, of_product, of_square):
    """Return those of a polynomial with a constant term and those of degree L + 1 and 2(L + 1)."""
    expected = torch.zeros(POINTS, dtype=torch.float64)
    expected[0] = problem.loss_at_zero
    expected[problem.L + 1] = of_product
    expected[2 * (problem.L + 1)] = of_square
    return expected


# ------------------------------------------------------------------------------------ The smallest case


def test_smallest_case():
    one = torch.ones(1, 1, dtype=torch.float64)
    problem = Problem((1, 1, 1), one, one)
    assert problem.loss(0 * one, 0 * one) == 0.5
    for t in (1e-3, 0.1, 1.0, 1.4):
        assert_close(problem.loss(t * one, t * one).item(), (1 - t**2) ** 2 / 2)
        assert_close(problem.loss(-t * one, t * one).item(), (1 + t**2) ** 2 / 2)
        assert problem.loss(t * one, t * one) < 0.5 < problem.loss(-t * one, t * one)
    assert problem.loss(1.42 * one, 1.42 * one) > 0.5


# -------------------------------------------------------------------------------------------- The proof


def test_networks_with_and_without_bottleneck():
    """The other tests try one to five hidden layers, each with and without bottleneck, and widths of 1."""
    for L in range(1, 6):
        chosen = [widths for widths in NETWORKS if len(widths) == L + 2]
        assert {min(w) < min(w[0], w[-1]) for w in chosen} == {False, True}, chosen
        assert any(1 in w[1:-1] for w in chosen), chosen


@networks()
def test_step_1_expansion(problem):
    """(1) for matrices of some shapes, (2) for weights of several sizes."""
    A, B, H, F = (
        normal(np.random.RandomState(seed), *shape)
        for seed, shape in enumerate(((4, 2), (4, 3), (3, 5), (5, 2)))
    )
    assert_close(inner(A, B @ H @ F), inner(B.T @ A @ F.T, H), **TIGHT)
    assert_close(inner(A, A), A.norm() ** 2, **TIGHT)
    for size in (0.1, 1, 3):
        weights = scaled(problem.draw(seed=10), size)
        P = whole(weights)
        expected = problem.loss_at_zero - inner(problem.C, P) + (P @ problem.X).norm() ** 2 / 2
        assert_close(problem.loss(*weights), expected, **TIGHT)


@networks()
def test_step_2_gradient(problem):
    """(3) against automatic differentiation."""
    for size in (0.1, 1, 3):
        weights = scaled(problem.draw(seed=20), size)
        residual = problem.Y - whole(weights) @ problem.X
        for l, found in enumerate(gradient(problem, weights)):
            B, F = around(weights, l)
            assert_close(found, -B.T @ residual @ problem.X.T @ F.T, **TIGHT)


@networks()
def test_step_3_zero_is_critical(problem):
    """Also with data that have no correlation, no inputs or no targets: the claim is about every X and Y."""
    for other in (problem, problem._replace(X=0 * problem.X), problem._replace(Y=0 * problem.Y)):
        for block in gradient(other, problem.zeros()):
            assert (block == 0).all()


@pairs
@networks()
def test_step_4_direction(problem, pair):
    """(4), for both choices of u and v that the proof names."""
    C = problem.C
    u, v = pair(C)
    assert_close(u.norm().item(), 1.0)
    assert_close(v.norm().item(), 1.0)
    assert u @ C @ v > 0
    largest = C.abs().max() if pair is entry_pair else torch.linalg.matrix_norm(C, 2)
    assert_close(u @ C @ v, largest, **TIGHT)
    assert u @ C @ v <= torch.linalg.matrix_norm(C, 2) * (1 + 1e-12)
    direction = rank_one(problem, u, v)
    assert [tuple(A.shape) for A in direction] == problem.shapes
    for A in direction:
        assert_close(A.norm().item(), 1.0)
    assert_close(whole(direction), torch.outer(u, v), **TIGHT)


@pytest.mark.parametrize("s", SIGNS)
@pairs
@networks()
def test_step_5_loss_along_the_rays(problem, pair, s):
    """(5), every coefficient of the polynomial."""
    u, v = pair(problem.C)
    c, d = u @ problem.C @ v, (problem.X.T @ v).norm() ** 2
    assert d > 0
    found = coefficients(problem, rank_one(problem, u, v, s))
    assert_close(found, expected_coefficients(problem, -s * c, d / 2), **TIGHT)


@pairs
@networks()
def test_step_6_neither_minimum_nor_maximum(problem, pair):
    """In balls of any size there is a smaller and a larger loss; the descent ends where it should."""
    u, v = pair(problem.C)
    c, d = u @ problem.C @ v, (problem.X.T @ v).norm() ** 2
    down, up = (rank_one(problem, u, v, s) for s in SIGNS)
    end = (2 * c / d) ** (1 / (problem.L + 1))
    zero = problem.loss(*problem.zeros())
    assert_close(zero, problem.loss_at_zero)

    for radius in (10.0, 1.0, 0.3, 0.03):
        t = min(0.999 * radius / math.sqrt(problem.L + 1), 0.999 * end)
        for ray in (down, up):
            assert sum(A.norm() ** 2 for A in scaled(ray, t)) < radius**2
        if t ** (problem.L + 1) * c > 1e-12 * zero:  # else the change is lost in rounding
            assert problem.loss(*scaled(down, t)) < zero < problem.loss(*scaled(up, t))
    assert_close(sum(A.norm() ** 2 for A in up).item(), float(problem.L + 1))

    assert_close(problem.loss(*scaled(down, end)), zero.detach(), **TIGHT)
    assert problem.loss(*scaled(down, 1.001 * end)) > zero
    assert problem.loss(*scaled(up, 100.0)) > zero


# --------------------------------------------------------------------------- What each assumption does


@networks()
def test_ascent_without_correlation(problem):
    """Nonzero inputs are enough for an ascent, whether the targets are correlated with them or not."""
    problem = without_correlation(problem.widths)
    assert problem.C.abs().max() < 1e-12
    random = np.random.RandomState(30)
    for Y in (problem.Y, 0 * problem.Y, normal(random, *problem.Y.shape)):
        other = problem._replace(Y=Y)
        u, v = (normal(random, n) for n in (problem.widths[-1], problem.widths[0]))
        u, v = u / u.norm(), v / v.norm()
        s = -1 if u @ other.C @ v > 0 else 1
        d = (other.X.T @ v).norm() ** 2
        for t in (0.3, 1.0, 2.0):
            rise = other.loss(*scaled(rank_one(other, u, v, s), t)) - other.loss_at_zero
            least = d / 2 * t ** (2 * (other.L + 1))
            assert least > 0
            assert rise >= least * (1 - 1e-9) - 1e-13
    found = coefficients(problem, rank_one(problem, u, v))
    assert_close(found, expected_coefficients(problem, 0, d / 2), **TIGHT)


@networks()
def test_every_matrix_is_a_product(problem):
    """It is one exactly where there is no bottleneck; else the product's rank is too small."""
    smaller = min(problem.widths[0], problem.widths[-1])
    rank = torch.linalg.matrix_rank(whole(problem.draw(seed=40)), rtol=1e-12)
    if min(problem.widths) < smaller:
        assert rank <= min(problem.widths) < smaller
        return
    left, values, right = torch.linalg.svd(problem.C, full_matrices=False)
    factors = [torch.eye(*shape, dtype=torch.float64) for shape in problem.shapes]  # as much as fits of 1
    factors[0] = torch.eye(problem.widths[1], smaller, dtype=torch.float64) @ right
    factors[-1] = left @ torch.diag(values) @ torch.eye(smaller, problem.widths[-2], dtype=torch.float64)
    assert [tuple(W.shape) for W in factors] == problem.shapes
    assert_close(whole(factors), problem.C, **TIGHT)


# --------------------------------------------------------------------------- What changes with depth


@networks()
def test_taylor_expansion(problem):
    """(6) along any line: nothing of order 1 to L, then -<C, P>, then nothing up to order 2(L + 1)."""
    for seed in (50, 60, 70):
        direction = problem.draw(seed)
        P = whole(direction)
        expected = expected_coefficients(problem, -inner(problem.C, P), (P @ problem.X).norm() ** 2 / 2)
        assert expected[problem.L + 1].abs() > 1e-9
        assert_close(coefficients(problem, direction), expected, **TIGHT)


def derivatives(problem):
    """Yield the loss, its gradient, its Hessian and so on at zero, as tensors of order 0, 1, 2, ..."""
    function, zero = (
        problem.flat_loss,
        torch.zeros(sum(math.prod(s) for s in problem.shapes), dtype=torch.float64),
    )
    while True:
        yield function(zero)
        function = partial(jacobian, function, create_graph=True)


@pytest.mark.parametrize("widths", [(2, 2, 3), (2, 1, 2), (2, 2, 1, 2), (1, 2, 2, 1)], ids=str)
def test_partial_derivatives(widths):
    """(6) in coordinates: all partial derivatives up to order L + 1 are zero, or -C_ij for a path."""
    problem = make_problem(widths)
    order = problem.L + 1
    starts = [0, *itertools.accumulate(math.prod(shape) for shape in problem.shapes)]
    found = list(itertools.islice(derivatives(problem), order + 1))
    for derivative in found[1:order]:
        assert (derivative == 0).all()
    expected = torch.zeros_like(found[order])
    for path in itertools.product(*map(range, widths)):
        entries = [starts[l] + path[l + 1] * widths[l] + path[l] for l in range(order)]
        for permuted in itertools.permutations(entries):
            expected[permuted] = -problem.C[path[-1], path[0]]
    assert expected.abs().max() > 0.1
    assert_close(found[order], expected, **TIGHT)

    direction = problem.draw(seed=80)
    value = found[order]
    for _ in range(order):
        value = value @ torch.cat([W.flatten() for W in direction])
    assert_close(value, -math.factorial(order) * inner(problem.C, whole(direction)), **TIGHT)


def flat(*matrices):
    return torch.cat([matrix.flatten() for matrix in matrices])


@networks(lambda L: L == 1)
def test_hessian_of_one_hidden_layer(problem):
    """(7), the Hessian as a map and as a quadratic form, and that its other eigenvalues are 0."""
    inputs, hidden, outputs = problem.widths
    C = problem.C
    found = hessian(problem.flat_loss, flat(*problem.zeros()).detach())

    W = problem.draw(seed=90)
    assert_close(found @ flat(*W), -flat(W[1].T @ C, C @ W[0].T), **TIGHT)
    assert_close(flat(*W) @ found @ flat(*W), -2 * inner(C, W[1] @ W[0]), **TIGHT)

    left, sigma, right = torch.linalg.svd(C, full_matrices=False)
    assert (sigma > 1e-9).all()
    units = torch.eye(hidden, dtype=torch.float64)
    vectors = []
    for u, value, v in zip(left.T, sigma, right, strict=True):
        for e, sign in itertools.product(units, SIGNS):
            vectors.append(flat(sign * torch.outer(e, v), torch.outer(u, e)))
            assert_close(found @ vectors[-1], -sign * value * vectors[-1], **TIGHT)
    vectors = torch.stack(vectors)
    assert len(vectors) == 2 * len(sigma) * hidden
    assert_close(vectors @ vectors.T, 2 * torch.eye(len(vectors), dtype=torch.float64), **TIGHT)

    eigenvalues = torch.linalg.eigvalsh(found)
    nothing = torch.zeros(hidden * (inputs + outputs) - len(vectors), dtype=torch.float64)
    expected = torch.cat([sigma.repeat(hidden), -sigma.repeat(hidden), nothing]).sort().values
    assert_close(eigenvalues, expected, **TIGHT)
    assert eigenvalues[0] < -1e-9
    assert eigenvalues[-1] > 1e-9


@networks(lambda L: L >= 2)
def test_hessian_of_more_hidden_layers(problem):
    """It vanishes at zero; that it does not elsewhere shows that this is worth saying."""
    assert (hessian(problem.flat_loss, flat(*problem.zeros()).detach()) == 0).all()
    elsewhere = hessian(problem.flat_loss, flat(*problem.draw(seed=100)))
    assert elsewhere.abs().max() > 1e-3


@networks()
def test_even_and_odd(problem):
    weights = problem.draw(seed=110)
    opposite = scaled(weights, -1)
    assert_close(whole(opposite), (-1) ** (problem.L + 1) * whole(weights), **TIGHT)
    down = rank_one(problem, *entry_pair(problem.C))
    loss = {t: problem.loss(*scaled(down, t)) for t in (0.1, -0.1)}
    assert loss[0.1] < problem.loss_at_zero
    if problem.L % 2 == 0:
        assert loss[-0.1] > problem.loss_at_zero
    else:
        assert_close(problem.loss(*opposite), problem.loss(*weights), **TIGHT)
        assert_close(loss[-0.1], loss[0.1], **TIGHT)


@networks()
def test_flatness(problem):
    """(8)."""
    weights = problem.draw(seed=120)
    L, P = problem.L, whole(weights)
    for t in (1e-3, 0.1, 1.0):
        for l, found in enumerate(gradient(problem, scaled(weights, t))):
            B, F = around(weights, l)
            slow, fast = B.T @ problem.C @ F.T, B.T @ P @ problem.X @ problem.X.T @ F.T
            assert slow.norm() > 1e-9
            assert_close(found / t**L, -slow + t ** (L + 1) * fast, **TIGHT)


# ------------------------------------------------------------- What would fail without the assumptions


@pytest.mark.parametrize("widths", [(1, 1), (3, 2), (2, 4)], ids=str)
def test_without_hidden_layer(widths):
    problem = make_problem(widths)
    (slope,) = gradient(problem, problem.zeros())
    assert_close(slope, -problem.C, **TIGHT)
    assert slope.norm() > 0.1
    curvature = hessian(problem.flat_loss, flat(*problem.draw(seed=130)))
    assert_close(
        curvature, torch.kron(torch.eye(widths[1], dtype=torch.float64), problem.X @ problem.X.T), **TIGHT
    )
    assert torch.linalg.eigvalsh(curvature)[0] >= -1e-11  # convex

    one = torch.ones(1, 1, dtype=torch.float64)
    (slope,) = gradient(Problem((1, 1), one, one), [0 * one])
    assert slope.item() == -1

    u, v = entry_pair(problem.C)  # Steps 4 to 6 hold all the same
    for s in SIGNS:
        expected = expected_coefficients(problem, -s * (u @ problem.C @ v), (problem.X.T @ v).norm() ** 2 / 2)
        assert_close(coefficients(problem, rank_one(problem, u, v, s)), expected, **TIGHT)


@networks()
def test_without_correlation(problem):
    problem = without_correlation(problem.widths)
    assert problem.C.abs().max() < 1e-12
    assert min(problem.X.norm(), problem.Y.norm()) > 0.1
    for other in (problem, problem._replace(Y=0 * problem.Y)):
        for seed, size in itertools.product(range(140, 150), (0.5, 1.0, 2.0)):
            weights = scaled(other.draw(seed), size)
            assert_close(
                other.loss(*weights),
                other.loss_at_zero + (whole(weights) @ other.X).norm() ** 2 / 2,
                **TIGHT,
            )
            assert other.loss(*weights) >= other.loss_at_zero - 1e-12

    small = Problem(
        (1,) * (problem.L + 2),
        torch.tensor([[1.0, 1.0]], dtype=torch.float64),
        torch.tensor([[1.0, -1.0]], dtype=torch.float64),
    )
    weights = scaled(small.draw(seed=150), 1.5)
    assert small.C == 0
    assert_close(small.loss(*weights), 1 + whole(weights)[0, 0] ** 2, **TIGHT)

    constant = problem._replace(X=0 * problem.X)
    assert_close(constant.loss(*problem.draw(seed=160)), constant.loss_at_zero)


@pytest.mark.parametrize("widths", [(2, 0, 3), (2, 3, 0, 3), (2, 0, 0, 2, 1)], ids=str)
def test_empty_layer(widths):
    problem = make_problem(widths)
    assert problem.C.norm() > 0.1
    weights = [normal(np.random.RandomState(170), *shape) for shape in problem.shapes]
    assert (whole(weights) == 0).all()
    assert_close(problem.loss(*weights), problem.loss_at_zero)


# ---------------------------------------------------------------------------------------- Symbolically


def symbols(letter, rows, columns):
    return sympy.Matrix(rows, columns, sympy.symbols(f"{letter}_:{rows}_:{columns}", real=True))


def squares(matrix):
    return sum(entry**2 for entry in matrix)


def vanishes(expression):
    return sympy.expand(expression) == 0


@pytest.mark.parametrize("widths", [(1, 1, 1), (2, 1, 2), (1, 2, 1), (1, 2, 1, 2), (1, 1, 2, 1, 1)], ids=str)
def test_symbolically(widths):
    """(2) to (6) and the orders in (8), for all X, Y and weights at once, with two samples."""
    L = len(widths) - 2
    X, Y = symbols("x", widths[0], 2), symbols("y", widths[-1], 2)
    C = Y * X.T
    weights = [
        symbols(f"w{l}", outputs, inputs) for l, (inputs, outputs) in enumerate(itertools.pairwise(widths))
    ]
    entries = [entry for W in weights for entry in W]
    zero = dict.fromkeys(entries, 0)
    P = sympy.eye(widths[0])
    for W in weights:
        P = W * P
    loss = squares(Y - P * X) / 2

    assert vanishes(loss - (squares(Y) / 2 - (C.T * P).trace() + squares(P * X) / 2))  # (2)

    for l, W in enumerate(weights):  # (3)
        B, F = sympy.eye(widths[l + 1]), sympy.eye(widths[0])
        for behind in weights[l + 1 :]:
            B = behind * B
        for before in weights[:l]:
            F = before * F
        formula = -B.T * (Y - P * X) * X.T * F.T
        for position, entry in enumerate(W):
            assert vanishes(loss.diff(entry) - formula[position])
            assert formula[position].subs(zero) == 0

    terms = sympy.Poly(loss, *entries).terms()  # (6)
    assert {sum(powers) for powers, _ in terms} == {0, L + 1, 2 * (L + 1)}
    lowest = sum(
        factor * math.prod(e**power for e, power in zip(entries, powers, strict=True))
        for powers, factor in terms
        if sum(powers) == L + 1
    )
    assert vanishes(lowest + (C.T * P).trace())

    # (4), (5) and (8), with u and v the unit vectors of the last entry of C
    t, s = sympy.symbols("t s", real=True)
    direction = [sympy.zeros(*W.shape) for W in weights]
    for l, A in enumerate(direction):
        A[-1 if l == L else 0, -1 if l == 0 else 0] = 1
    A = direction[0]
    for other in direction[1:]:
        A = other * A
    assert A[-1, -1] == 1
    assert squares(A) == 1
    ray = {e: t * a for W, A in zip(weights, direction, strict=True) for e, a in zip(W, A, strict=True)}
    ray |= {e: s * ray[e] for e in weights[-1]}
    along = loss.subs(ray).expand().subs(s**2, 1)
    d = squares(X.row(-1))
    formula = squares(Y) / 2 - s * C[-1, -1] * t ** (L + 1) + d / 2 * t ** (2 * (L + 1))
    assert vanishes(along - formula)

    larger = {e: t * e for e in entries}
    for entry in entries:
        slope = sympy.Poly(loss.diff(entry).subs(larger, simultaneous=True), t)
        assert {power for (power,), _ in slope.terms()} == {L, 2 * L + 1}


def test_hessian_symbolically():
    """The eigenvalues of (7) for C = (a, b) and two neurons: ±√(a² + b²), twice each, and zero."""
    a, b, z = sympy.symbols("a b z")
    W = [symbols("w0", 2, 2), symbols("w1", 1, 2)]
    entries = [*W[0], *W[1]]
    X, Y = sympy.Matrix([[1, 0, 2], [0, 1, 0]]), sympy.Matrix([[a, b, 0]])
    assert sympy.Matrix([[a, b]]) == Y * X.T
    found = sympy.hessian(squares(Y - W[1] * W[0] * X) / 2, entries).subs(dict.fromkeys(entries, 0))
    assert vanishes(found.charpoly(z).as_expr() - z**2 * (z**2 - a**2 - b**2) ** 2)


# ------------------------------------------------------------------------------------ Proof and tests


def test_steps_and_formulas(repository):
    """The proof's steps are the tests', and each of its numbered formulas is named by a test."""
    proof = (repository / "bonus_proof.md").read_text(encoding="utf-8")
    tests = {name: thing for name, thing in globals().items() if name.startswith("test_")}
    steps = re.findall(r"^\*\*Step (\d):", proof, re.MULTILINE)
    formulas = re.findall(r"\\qquad \((\d)\)\n\$\$", proof)
    assert steps == re.findall(r"test_step_(\d)_", " ".join(tests))
    assert formulas == sorted(set(re.findall(r"\((\d)\)", " ".join(t.__doc__ or "" for t in tests.values()))))
