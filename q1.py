"""The building blocks of a small deep-learning library, in NumPy alone (handout, section 1).

Every block is a ``Layer``. ``forward`` turns a batch of inputs into a batch of outputs and remembers
what ``backward`` will need. ``backward`` takes the gradient of the loss with respect to those outputs
and, by the chain rule, returns the gradient with respect to the inputs; a layer with parameters leaves
their gradients behind, and ``update`` takes one step of gradient descent with them. Training is

    probabilities = network(x)                          # x flows forward through the layers,
    loss = criterion(probabilities, labels)
    network.backward(criterion.backward())              # dL/d(...) flows back through them,
    network.update(learning_rate)                       # and each parameter moves a little against it.

What holds for every layer stands here, once:

- N is the batch, d a layer's inputs, m its outputs, K the classes. ``output_grad``, or g, is dL/doutput of
  the latest ``forward`` and has that output's shape; what ``backward`` returns has the input's.
- Arrays are float32 or float64, and an answer has the dtype of what was handed in; lists and tensors will do.
- No layer changes what it is handed. What it remembers for ``backward`` it remembers by reference, as
  PyTorch does: do not write into those arrays in between.
- PyTorch's names of arguments work beside ours: ``layer(input=x)``, ``criterion(input=p, target=labels)``.
- A wrong shape, something else than real numbers, or a number out of range is a ValueError that quotes what
  was expected and what came; ``backward`` before ``forward``, ``update`` before ``backward``: RuntimeError.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

FloatArray: TypeAlias = NDArray[Any]


class Layer:
    """Base class of all that data flows through (handout 1; counterpart: ``torch.nn.Module``)."""

    has_gradients = True  # whether ``update`` has all the gradients that it needs

    def init_weights(self) -> None:
        """Draw the parameters anew, if there are any."""

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return the output for a batch of inputs."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dinput, given dL/doutput of the latest forward."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def backward_parameters(self, output_grad: ArrayLike) -> None:
        """Do what ``backward`` does save for dL/dinput, which nobody asks of a network's first layer."""
        self.backward(output_grad)

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent with the latest gradients, if there are parameters."""

    def state_dict(self) -> dict[str, FloatArray]:
        """Return the parameters by the names that PyTorch gives them, each a view of the storage."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike], strict: bool = True) -> IncompatibleKeys:
        """Copy in a state dict of ours or PyTorch's, all or nothing; if strict, with exactly our names."""
        own = self.state_dict()
        if strict and own.keys() != state_dict.keys():
            raise ValueError(f"{self}.load_state_dict: expected the keys {list(own)}, got {list(state_dict)}")
        new = {k: read(self, state_dict[k], f"load_state_dict: {k}") for k in own if k in state_dict}
        for key, value in new.items():
            check_shape(self, f"load_state_dict: {key}", value, own[key].shape)
        for key, value in new.items():
            own[key][...] = value
        return IncompatibleKeys([k for k in own if k not in new], [k for k in state_dict if k not in own])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward``. The first argument may come by PyTorch's name for it, ``input``."""
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        return self.forward(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Dense(Layer):
    """Fully-connected layer, y = x Wᵀ + b (handout 1.1; counterpart: ``torch.nn.Linear``).

    The parameters go by the handout's names, by those of the course's class documentation and, in
    ``state_dict``, by PyTorch's. All are views of the same memory; assigning to one copies into it.

    Args:
        input_size, output_size: d and m, whole numbers >= 1; PyTorch's in_features and out_features, too.
        dtype: float32 or float64, in which the layer keeps its parameters and computes.
        seed: a number, with which ``init_weights`` draws the same weights each time; a ``RandomState`` or
            ``Generator``, which goes on from where it is; or None, for other weights each time.

    Attributes:
        W, b: the weights (m, d) and the bias (m,).
        dW, db: dL/dW (m, d) and dL/db (m,) of the latest backward; zeros before the first.
        weights, bias, weights_grad, bias_grad: W and dW transposed, (d, m); b and db as a row, (1, m).
        input_size, in_features, d; output_size, out_features, m: the sizes.
    """

    _x: Any = None

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return y = x Wᵀ + b, (N, m), for x, (N, d); N may be 0."""
        x = read(self, x, "forward: x", self.dtype)
        if x.ndim != 2 or x.shape[1] != self.d:
            raise ValueError(f"{self}.forward: expected x of shape (N, {self.d}), got {x.shape}")
        self._x = x.astype(self.dtype, copy=False)
        # W xᵀ, which is yᵀ, takes BLAS half the time for a small batch; for a large one the copy costs more.
        y = np.ascontiguousarray((self._W @ self._x.T).T) if len(x) < 128 else self._x @ self._W.T
        y += self._b
        return y.astype(x.dtype, copy=False)

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Compute dL/dW and dL/db, and return dL/dx, (N, d), for g = dL/dy, (N, m).

        The chain rule gives for y = x Wᵀ + b:

            dL/dW = gᵀ x        dL/db = the sum of g's rows        dL/dx = g W

        Both sums over the batch are sums and no means: a loss that is a mean has its 1/N in g. The
        gradients take the place of the last ones.
        """
        self.backward_parameters(output_grad)
        g = read(self, output_grad, "backward: output_grad", self.dtype)
        return (g.astype(self.dtype, copy=False) @ self._W).astype(g.dtype, copy=False)

    def backward_parameters(self, output_grad: ArrayLike) -> None:
        """Compute dL/dW and dL/db as ``backward`` does, and leave out dL/dx."""
        g = read_output_grad(self, output_grad, self._x, self.m).astype(self.dtype, copy=False)
        # For a single row matmul forgoes BLAS, and takes six to ten times as long as an outer product.
        product = np.multiply if len(g) == 1 else np.matmul
        product(g.T, self._x, out=self._dW)
        np.add.reduce(g, axis=0, out=self._db)
        self.has_gradients = True

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent in place, W ← W - η dL/dW and b ← b - η dL/db, finite η >= 0."""
        if not self.has_gradients:
            raise RuntimeError(f"{self}.update was called before backward: there are no gradients yet")
        if not 0 <= learning_rate < math.inf:
            raise ValueError(f"update: expected a finite learning rate >= 0, got {learning_rate!r}")
        for parameter, gradient in ((self._W, self._dW), (self._b, self._db)):
            # Gradients with η in them already (see CrossEntropyLossLayer.backward) spare this a pass.
            parameter -= gradient if learning_rate == 1 else float(learning_rate) * gradient

    def __init__(
        self,
        input_size: Any = None,
        output_size: Any = None,
        dtype: DTypeLike = np.float64,
        seed: Any = 33,
        *,
        in_features: Any = None,
        out_features: Any = None,
    ) -> None:
        input_size = input_size if in_features is None else in_features
        output_size = output_size if out_features is None else out_features
        for name, size in (("input_size", input_size), ("output_size", output_size)):
            if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
                raise ValueError(f"Dense: expected {name} to be a whole number >= 1, got {size!r}")
        self.input_size = self.in_features = self.d = int(input_size)
        self.output_size = self.out_features = self.m = int(output_size)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"Dense: expected dtype float32 or float64, got {self.dtype}")
        self.seed = seed
        self._W, self._dW = (np.zeros((self.m, self.d), self.dtype) for _ in range(2))
        self._b, self._db = (np.zeros(self.m, self.dtype) for _ in range(2))
        self.init_weights()

    def init_weights(self) -> None:
        """Draw W ~ U(-√(6/(d+m)), √(6/(d+m))) (Xavier's, or Glorot's, distribution) and set b to zero.

        With the default seed the draw is that of the course's class documentation, to the last bit:
        ``np.random.seed(33); np.random.uniform(-bound, bound, (input_size, output_size))``.
        """
        bound = math.sqrt(6 / (self.input_size + self.output_size))
        source: Any = self.seed if hasattr(self.seed, "uniform") else np.random.RandomState(self.seed)
        self._W[...] = source.uniform(-bound, bound, (self.input_size, self.output_size)).T
        self._b[...] = 0
        self.has_gradients = False  # those there may be belong to the old weights

    W = property(lambda s: s._W, lambda s, new: assign(s, "W", s._W, new))
    b = property(lambda s: s._b, lambda s, new: assign(s, "b", s._b, new))
    dW = property(lambda s: s._dW, lambda s, new: assign(s, "dW", s._dW, new))
    db = property(lambda s: s._db, lambda s, new: assign(s, "db", s._db, new))
    weights = property(lambda s: s._W.T, lambda s, new: assign(s, "weights", s._W.T, new))
    bias = property(lambda s: s._b[None], lambda s, new: assign(s, "bias", s._b, new))
    weights_grad = property(lambda s: s._dW.T, lambda s, new: assign(s, "weights_grad", s._dW.T, new))
    bias_grad = property(lambda s: s._db[None], lambda s, new: assign(s, "bias_grad", s._db, new))

    def state_dict(self) -> dict[str, FloatArray]:
        """Return ``{"weight": W, "bias": b}``, as ``torch.nn.Linear`` names and shapes them."""
        return {"weight": self._W.view(StateArray), "bias": self._b.view(StateArray)}

    def __repr__(self) -> str:
        return f"Dense({self.input_size}, {self.output_size})"


class ReLULayer(Layer):
    """Rectified linear unit, y = max(x, 0) (handout 1.2c; counterpart: ``torch.nn.ReLU``)."""

    _x: Any = None

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return y = max(x, 0), of x's shape; NaN stays NaN."""
        self._x = read(self, x, "forward: x")
        return np.maximum(self._x, 0)

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dx, of x's shape, for g = dL/dy: g where x > 0, 0 where x <= 0, and g where x is NaN."""
        g = read_output_grad(self, output_grad, self._x)
        # A product with 0 would make NaN of an infinite gradient. So take the numbers' bits, and keep all
        # of them (-1 is all ones) or none (0): np.where(x <= 0, 0, g), at a third of the time.
        keep = np.less_equal(self._x, 0).view(np.int8) - np.int8(1)
        return np.bitwise_and(g.view(f"i{g.itemsize}"), keep).view(g.dtype)


class TanhLayer(Layer):
    """Hyperbolic tangent, y = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ) (handout 1.2b; counterpart: ``torch.nn.Tanh``)."""

    _y: Any = None

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return y = tanh(x), of x's shape, to a few units in the last place, and without overflow.

        Multiplied by e⁻ˣ above and below, and with u = e⁻²ˣ - 1, the definition reads tanh(x) =
        -u / (u + 2). For x >= 0 that never overflows, and ``expm1`` gives u without the cancellation
        that eˣ - e⁻ˣ suffers near 0; the sign comes back at the end, since tanh(-x) = -tanh(x).
        """
        x = read(self, x, "forward: x")
        u = np.expm1(-2 * np.minimum(np.abs(x), 22))  # tanh(22) is 1 to the last bit of a float64
        self._y = y = np.copysign(u / (-2 - u), x)
        return y

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dx, of x's shape, for g = dL/dy: g (1 - y²)."""
        g = read_output_grad(self, output_grad, self._y)
        return (g * (1 - self._y * self._y)).astype(g.dtype, copy=False)


class SoftmaxLayer(Layer):
    """Softmax, y_j = exp(x_j) / Σ_k exp(x_k) over the last axis (handout 1.2a; ``torch.nn.Softmax(-1)``)."""

    _y: Any = None

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return y = softmax(x), (..., K), rows that sum to 1; rows with +inf or NaN become NaN.

        Each row is shifted by its own maximum first, which changes nothing, exp(x_j - c) / Σ exp(x_k - c)
        being the same for every c, and leaves no exponent above 0 to overflow.
        """
        x = read(self, x, "forward: x")
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, quietly, as in PyTorch
            y = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
            self._y = y = y / y.sum(axis=-1, keepdims=True)
        return y

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dx, for g = dL/dy, (..., K).

        The Jacobian of a row is ∂y_k/∂x_j = y_k (δ_kj - y_j). Its product with g needs no matrix:
        dL/dx_j = Σ_k g_k y_k (δ_kj - y_j) = y_j (g_j - Σ_k g_k y_k).
        """
        g = read_output_grad(self, output_grad, self._y)
        return (self._y * (g - (g * self._y).sum(axis=-1, keepdims=True))).astype(g.dtype, copy=False)


class CrossEntropyLossLayer(Layer):
    """Average cross-entropy, L = -1/N Σ_i Σ_k t_ik log p_ik (handout 1.3; ``torch.nn.CrossEntropyLoss``).

    For a label y_i the target t_i is 1 at y_i and 0 elsewhere, which leaves L = -1/N Σ_i log p_iy_i.

    Args:
        from_logits: False: predictions are probabilities p, as the handout has it. True: they are
            logits z with p = softmax(z), as PyTorch has it. The second stays exact where a probability
            is too small for its dtype, and it is the quicker one to train with.
    """

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = from_logits
        self._remembered: tuple[FloatArray, NDArray[Any]] | None = None

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> np.float64:  # type: ignore[override]
        """Return the loss.

        ``prediction``, (N, K), not empty, are finite probabilities, or logits; ``target`` are labels, (N,),
        whole numbers of 0 .. K-1, or a finite distribution per row, (N, K). A probability below the smallest
        normal number of its dtype, such as 0, counts as that number: loss and gradient stay finite.
        """
        prediction = read(self, prediction, "forward: prediction")
        if prediction.ndim != 2 or 0 in prediction.shape:
            raise ValueError(
                f"{self}.forward: expected prediction of shape (N, K), not empty, got {prediction.shape}"
            )
        target = read_target(self, target, prediction)
        if self.from_logits:  # log softmax(z) = z - c - log Σ_k exp(z_k - c), with c the largest of the row
            with np.errstate(invalid="ignore", over="ignore"):
                log_p = prediction - prediction.max(axis=1, keepdims=True)
                log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
            self._remembered = log_p, target
        else:
            p = read(self, prediction, "forward: prediction", finite=True)
            p = np.maximum(p, np.finfo(prediction.dtype).tiny)
            log_p = np.log(p)
            self._remembered = p, target
        log_p = log_p[np.arange(len(target)), target] if target.ndim == 1 else target * log_p
        return np.float64(0 - log_p.sum(dtype=np.float64) / len(target))  # 0 - 0 is 0, and -0 would look odd

    def backward(self, output_grad: ArrayLike = 1.0) -> FloatArray:
        """Return dL/dprediction, (N, K), times ``output_grad``, the one number that dL/dL is.

        For probabilities ∂L/∂p_ik = -1/N t_ik / p_ik. For logits the same times the softmax's Jacobian,
        which comes to ∂L/∂z_ik = 1/N (p_ik Σ_j t_ij - t_ik), or (p - t)/N where the targets sum to 1.
        All gradients are in proportion to ``output_grad``: with η for it, an ``update(1)`` is a step of η.
        """
        if self._remembered is None:
            raise RuntimeError(f"{self}.backward was called before forward")
        upstream = read(self, output_grad, "backward: output_grad")
        if upstream.size != 1:
            raise ValueError(f"{self}.backward: expected one number, got shape {upstream.shape}")
        remembered, target = self._remembered
        rows = np.arange(len(target))
        if self.from_logits:
            gradient = np.exp(remembered)
            if target.ndim == 1:
                gradient[rows, target] -= 1
            else:
                gradient = gradient * target.sum(axis=1, keepdims=True) - target
        elif target.ndim == 1:
            gradient = np.zeros_like(remembered)
            gradient[rows, target] = -1 / remembered[rows, target]
        else:
            gradient = -target / remembered
        gradient *= upstream.item() / len(target)
        return gradient


# Reading what comes in.


def as_float_array(value: ArrayLike, dtype: DTypeLike = np.float64) -> FloatArray:
    """Read an array, nested lists or a tensor as an array of float32 or float64, without a copy if it is one.

    Other numbers come in the given dtype, float32 or float64. What holds no real numbers is a ValueError.
    """
    if type(value) is np.ndarray and value.dtype.char in "fd" and value.dtype.isnative:
        return value
    try:
        array = np.asarray(detached(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected an array of numbers, got {reprlib.repr(value)}") from error
    if array.dtype.kind not in "biuf" and not np.can_cast(array.dtype, np.float32):  # as bfloat16 can be
        raise ValueError(f"expected real numbers, got {reprlib.repr(value)} of dtype {array.dtype}")
    if array.dtype.char not in "fd":
        return array.astype(dtype)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def detached(value: Any) -> Any:
    """Return ``value``, or if it is a tensor, one that NumPy can read: without gradient, on the CPU."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


def read(layer: Layer, value: Any, name: str, dtype: Any = np.float64, finite: bool = False) -> FloatArray:
    """Return ``as_float_array(value, dtype)``; an error names the layer and what was being read."""
    try:
        array = as_float_array(value, dtype)
    except ValueError as error:
        raise ValueError(f"{layer}.{name}: {error}") from error
    if finite and not np.isfinite(array).all():
        i, k = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{layer}.{name}: expected finite numbers, got {array[i, k]} at [{i}, {k}]")
    return array


def read_output_grad(layer: Layer, output_grad: ArrayLike, remembered: Any, size: Any = None) -> FloatArray:
    """Check that there was a forward, and the shape: of what it left, or with ``size`` for the last axis."""
    if remembered is None:
        raise RuntimeError(f"{layer}.backward was called before forward")
    shape = remembered.shape if size is None else (*remembered.shape[:-1], size)
    g = read(layer, output_grad, "backward: output_grad", remembered.dtype)
    return check_shape(layer, "backward: output_grad", g, shape)


def check_shape(layer: Layer, name: str, array: FloatArray, *accepted: tuple[int, ...]) -> FloatArray:
    """Return the array if it has one of the accepted shapes."""
    if array.shape not in accepted:
        raise ValueError(
            f"{layer}.{name}: expected shape {' or '.join(map(str, accepted))}, got {array.shape}"
        )
    return array


def read_target(layer: Layer, target: ArrayLike, prediction: FloatArray) -> NDArray[Any]:
    """Return checked labels (N,), or a finite distribution per row (N, K)."""
    labels = np.asarray(detached(target))
    if labels.shape == prediction.shape:
        return read(layer, labels, "forward: target", finite=True).astype(prediction.dtype, copy=False)
    batch, classes = prediction.shape
    if labels.shape != (batch,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{layer}.forward: expected target to be labels, whole numbers of shape {(batch,)}, or a "
            f"distribution per row, of shape {prediction.shape}, got {labels.dtype} of shape {labels.shape}"
        )
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        bad = f"{labels[wrong][0]} at index {wrong.argmax()}"
        raise ValueError(f"{layer}.forward: expected labels of 0 to {classes - 1}, got {bad}")
    return labels


def assign(layer: Dense, name: str, array: FloatArray, value: ArrayLike) -> None:
    """Copy a value into the array that goes by a name; a vector may also come as a row, (1, m)."""
    accepted = [array.shape] if array.ndim > 1 else [array.shape, (1, *array.shape)]
    new = check_shape(layer, name, read(layer, value, name, array.dtype), *accepted)
    array[...] = new.reshape(array.shape)
    layer.has_gradients |= name in ("dW", "db", "weights_grad", "bias_grad")  # as if backward had left them


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` returns, as PyTorch's does: names not given, and given names not known."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class StateArray(np.ndarray):
    """An entry of a state dict: an ordinary array that ``torch.nn.Module.load_state_dict`` takes as well.

    PyTorch asks of an entry only that it knows ``__torch_function__``; when it then says
    ``parameter.copy_(entry)``, the entry becomes a tensor of the parameter's kind.
    """

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        tensor = next(arg for arg in args if hasattr(arg, "new_tensor"))
        args = tuple(tensor.new_tensor(np.asarray(arg)) if isinstance(arg, cls) else arg for arg in args)
        return function(*args, **(kwargs or {}))
