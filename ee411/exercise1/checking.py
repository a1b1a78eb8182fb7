"""What the tests of exercise 1 check: answers against right ones, and that arguments stay as they are."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import arguments
import numpy as np
from answers import ORDER, Gradient, Network, sigmoid, wrong_gradients, wrong_predictions
from reading import answer, arranged, function, gradient_of, outputs_of

from autograder.checks import CheckError, Comparison, hint, is_close

SHAPES = (
    "only the shapes don't fit together, for the numbers are right where B = D = K = 1. Perhaps a matrix is "
    "transposed, or `*` stands where `@` should be: X is (B, D), w_1 (D, K), w_2 (K, 1)"
)
FORMS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (np.ravel, np.copy)  # (B,) and (B, 1), of (B, 1)


def compare(trials: list[tuple[str, Any, Any, dict[str, Any]]], scale: float = 0.1) -> None:
    """Check several answers.

    Args:
        trials: each the quantity's name, the answer, the right one, and wrong ones by what is wrong.
        scale: as for ``assert_close``; 0 where small numbers need their digits.
    """
    with Comparison() as compare:
        for name, found, right, wrong in trials:
            compare(found, right, name, scale=scale, suspects=wrong)


def compare_predictions(networks: list[Network], *names: str, wrong: Any = wrong_predictions) -> None:
    """Check predictions.

    Args:
        networks: to predict with.
        *names: which of z_1, z_2 and y_hat to check.
        wrong: given a network, returns wrong outputs by what is wrong.
    """
    trials = []
    for network in networks:
        with hint(SHAPES, lambda: is_right_without_shapes("predict")):
            outputs = outputs_of(network)
        exchanged = in_other_order(network, outputs)
        for name in names:
            right = getattr(network, name)
            answers = {what: parts.get(name, right) for what, parts in wrong(network).items()}
            answers = {ORDER: outputs[name] if exchanged else right, **answers}
            trials.append((f"{name} of {describe(network)}", outputs[name], right, answers))
    compare(trials)


def is_right_without_shapes(name: str) -> bool:
    """Say whether predict or gradient is right for the network whose matrices are all (1, 1)."""
    network = Network.draw(1, 1, 1)
    if name == "predict":
        found, right = outputs_of(network), {part: getattr(network, part) for part in ("z_1", "z_2", "y_hat")}
    elif name == "gradient":
        found, right = gradient_of(network, network.y), network.gradient()
    else:
        return False
    return all(is_close(found[part], right[part]) for part in right)


def in_other_order(network: Network, outputs: dict[str, np.ndarray]) -> bool:
    """Say whether outputs are the right ones, but not in their order."""
    rights = [getattr(network, name) for name in outputs]
    return any(
        all(
            is_close(arranged(value, rights[place], "an output", transpose=True), rights[place])
            for place, value in zip(places, outputs.values(), strict=True)
        )
        for places in itertools.permutations(range(3))
        if places != (0, 1, 2)
    )


def compare_losses(name: str, batches: list[tuple[Any, Any, Any]], wrong: Any, scale: float = 0.1) -> None:
    """Check average losses for several batches.

    Args:
        name: the function's.
        batches: each labels and values as they are handed over, and the right loss.
        wrong: given labels and values, both (B, 1), returns wrong losses by what is wrong.
        scale: as for ``compare``.
    """
    trials = []
    for y, values, right in batches:
        loss = arranged(answer(name, y, values), right, f"The loss from {name}")
        columns = (np.asarray(given, float).reshape(-1, 1) for given in (y, values))
        labels = "labels 0 and 1" if np.ptp(y) else f"labels {y.flat[0]:g}"
        trials.append((f"{name} of {len(y)} samples with {labels}", loss, right, wrong(*columns)))
    compare(trials, scale)


def compare_gradients(
    pairs: list[tuple[Network, Any]], *names: str, wrong: Any = wrong_gradients, scale: float = 0.1
) -> None:
    """Check gradients with respect to some of the weights.

    Args:
        pairs: each a network, and its labels as they are handed over.
        *names: of the weights.
        wrong: given a network, returns wrong gradients by what is wrong.
        scale: as for ``compare``.
    """
    trials = []
    for network, y in pairs:
        found, right = gradient_of(network, y), network.gradient()

        def agrees(other: Gradient, found: Gradient = found) -> bool:
            return all(is_close(found[name], other[name], scale=scale) for name in names)

        if not agrees(right):  # what is wrong in predict alone costs points there, and not here
            right = next(filter(agrees, from_their_predict(network)), right)
        answers = {
            what: many if isinstance(many, tuple) else (many,) for what, many in wrong(network).items()
        }
        for name in names:
            parts = {what: tuple(each[name] for each in many) for what, many in answers.items()}
            trials.append((f"dL/d{name} for {describe(network)}", found[name], right[name], parts))
    compare(trials, scale)


def from_their_predict(network: Network) -> list[Gradient]:
    """Return what is right for a gradient that builds on the solution's own predict, if that is wrong."""
    try:
        outputs = outputs_of(network)
    except Exception:  # predict's own tests say what is wrong with it
        return []
    z_1, z_2, y_hat = (outputs[name] for name in ("z_1", "z_2", "y_hat"))
    shapes = [part.shape for part in (z_1, z_2, y_hat)]
    rights = [network.z_1, network.z_2, network.y_hat]
    if shapes != [right.shape for right in rights] or all(map(is_close, outputs.values(), rights)):
        return []
    x_1, y, away = sigmoid(z_1), network.y, 1 - 2 * network.y
    stable = away * sigmoid(away * z_2)
    deltas = (y_hat - y, stable, np.where(y == 1, stable, y_hat))
    found = [network.gradient(delta / len(y), x_1 * (1 - x_1), x_1=x_1) for delta in deltas]
    return [each for each in found if all(np.isfinite(part).all() for part in each.values())]


def describe(network: Network) -> str:
    """Return a network's sizes."""
    (n, d), k = network.X.shape, len(network.W["w_2"])
    return f"B = {n}, D = {d}, K = {k}"


def refuse_changes(name: str, names: list[str], *given: Any) -> None:
    """Check that a function doesn't write into its arguments."""
    places = arguments.changed(function(name), *given)
    if places:
        raise CheckError(
            f"`{name}` changes {' and '.join(names[place] for place in places)} in place",
            bug="something like `z -= ...` writes into an array that belongs to the caller: make a new one",
        )


def with_either_form(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test each form of a vector in turn, (B,) and (B, 1); it has to pass with one of them."""

    @functools.wraps(test)
    def run(self: Any) -> None:
        failures: list[Exception] = []
        for form in FORMS:
            try:
                return test(self, form)
            except Exception as failure:
                failures.append(failure)
        # The other form may be unknown to the solution; a bug with a name tells which one it knows.
        with hint(SHAPES, lambda: is_right_without_shapes(self.tested)):
            raise max(failures, key=lambda it: (isinstance(it, CheckError), bool(getattr(it, "bug", ""))))

    return run
