"""The building blocks of a small deep-learning library, in NumPy alone (handout, section 1).

Every block is a ``Layer``. ``forward`` turns a batch of inputs into a batch of outputs and remembers
what ``backward`` will need. ``backward`` takes the gradient of the loss with respect to those outputs
and, by the chain rule, returns the gradient with respect to the inputs; a layer with parameters leaves
their gradients behind, and ``update`` takes one step of gradient descent with them. Training is

    probabilities = network.forward(x)                  # x flows forward through the layers,
    loss = criterion.forward(probabilities, labels)
    network.backward(criterion.backward())              # dL/d(...) flows back through them,
    network.update(learning_rate)                       # and each parameter moves a little against it.

In the docstrings N is the batch, d a layer's inputs, m its outputs and K the classes. Arrays are
float32 or float64, and an answer has the dtype of the array that was handed in.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

FloatArray: TypeAlias = NDArray[Any]
Seed: TypeAlias = "int | np.random.RandomState | np.random.Generator | None"


class Layer:
    """Base class of everything that data flows through (counterpart: ``torch.nn.Module``).

    A subclass overrides ``forward`` and ``backward``, and one with parameters the rest. No layer
    changes an array that it was handed. What a layer remembers for ``backward`` (its input, or the
    output that it returned) it remembers by reference, as PyTorch does: do not write into those arrays
    in between.

    Attributes:
        reuse_buffers: False, the default: every answer is a new array. True: the caller allows
            ``forward`` and ``backward`` to answer in the same memory each time, which spares a training
            loop the allocation; an answer is then good until the next call of the same method.
        flat_parameters, flat_gradients: all that the layer learns as one vector and the gradient as
            another, so that a network can lay those of its layers end to end; None if it learns nothing.
    """

    reuse_buffers: bool = False
    flat_parameters: FloatArray | None = None
    flat_gradients: FloatArray | None = None
    _buffers: dict[str, FloatArray] | None = None

    def init_weights(self) -> None:
        """Draw the parameters anew, if there are any."""

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return the layer's output for a batch of inputs."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dinput, given ``output_grad`` = dL/doutput of the latest forward."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def backward_parameters(self, output_grad: ArrayLike) -> None:
        """Do what ``backward`` does save for dL/dinput, which nobody asks of a network's first layer."""
        self.backward(output_grad)

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent with the latest gradients, if there are parameters."""

    def check_gradients(self) -> None:
        """Raise a RuntimeError if there are parameters but no gradients for them yet."""

    def state_dict(self) -> dict[str, FloatArray]:
        """Return the parameters by the names that PyTorch gives them, each a view of the storage."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike], strict: bool = True) -> None:
        """Copy in the values of a state dict of this library or of PyTorch.

        Args:
            state_dict: arrays or tensors by name.
            strict: whether the names must be exactly those of ``state_dict()``.

        Raises:
            ValueError: a name is missing or unknown, or a shape is wrong; nothing is copied then.
        """
        own = self.state_dict()
        if strict and own.keys() != state_dict.keys():
            raise ValueError(f"{self}.load_state_dict: expected the keys {list(own)}, got {list(state_dict)}")
        new = {
            key: self._read(state_dict[key], f"load_state_dict: {key}") for key in own if key in state_dict
        }
        for key, value in new.items():
            if value.shape != own[key].shape:
                raise ValueError(
                    f"{self}.load_state_dict: expected {key} of shape {own[key].shape}, got {value.shape}"
                )
        for key, value in new.items():
            own[key][...] = value

    @property
    def parameter_count(self) -> int:
        """How many numbers the layer learns."""
        return 0 if self.flat_parameters is None else self.flat_parameters.size

    def move_parameters(self, parameters: FloatArray, gradients: FloatArray) -> None:
        """Keep ``flat_parameters`` and ``flat_gradients``, with their values, in this memory from now on.

        Args:
            parameters: a vector of ``parameter_count`` numbers, of the layer's dtype.
            gradients: likewise.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parameters to move")

    def __call__(self, *inputs: Any) -> Any:
        """Call ``forward``."""
        return self.forward(*inputs)

    def __repr__(self) -> str:
        """Name the layer, as in ``ReLULayer()``."""
        return f"{type(self).__name__}()"

    # What the subclasses share.

    def _read(self, value: ArrayLike, name: str, dtype: DTypeLike = np.float64) -> FloatArray:
        """Return ``as_float_array(value, dtype)``; an error names this layer and what was being read."""
        try:
            return as_float_array(value, dtype)
        except ValueError as error:
            raise ValueError(f"{self}.{name}: {error}") from error

    def _read_output_grad(
        self, output_grad: ArrayLike, remembered: FloatArray | None, size: int | None = None
    ) -> FloatArray:
        """Check that ``backward`` comes after ``forward`` and that its argument has the output's shape.

        Args:
            output_grad: what ``backward`` was handed.
            remembered: what ``forward`` left for ``backward``: an array of the output's shape,
            size: but for its last axis, if this is given.
        """
        if remembered is None:
            raise RuntimeError(f"{self}.backward was called before forward")
        shape = remembered.shape if size is None else (*remembered.shape[:-1], size)
        gradient = self._read(output_grad, "backward: output_grad", remembered.dtype)
        if gradient.shape != shape:
            raise ValueError(f"{self}.backward: expected output_grad of shape {shape}, got {gradient.shape}")
        return gradient

    def _result(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> FloatArray:
        """Return memory for the result ``name``: new, or with ``reuse_buffers`` that of the last time."""
        if not self.reuse_buffers:
            return np.empty(shape, dtype)
        if self._buffers is None:
            self._buffers = {}
        buffer = self._buffers.get(name)
        if buffer is None or buffer.dtype != dtype or buffer.shape[1:] != shape[1:] or len(buffer) < shape[0]:
            buffer = self._buffers[name] = np.empty(shape, dtype)
        # A smaller batch, such as the last of an epoch, takes the front of a larger one's memory.
        return buffer if buffer.shape == shape else buffer[: shape[0]]


class ParameterView:
    """One of the names by which a layer's parameter is known.

    Reading the name gives a view of the storage, so that ``layer.weights[0] = 1`` shows in ``layer.W``.
    Assigning to it copies into the storage, after a check of the shape.

    Args:
        storage: the attribute that holds the array.
        view: how this name shows that array; as it is, by default.
    """

    def __init__(self, storage: str, view: Callable[[FloatArray], FloatArray] = lambda array: array) -> None:
        self.storage = storage
        self.view = view

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the name, for errors."""
        self.name = name

    def __get__(self, layer: Layer | None, owner: type | None = None) -> Any:
        """Return the view; asked of the class, as documentation tools do, return the descriptor."""
        return self if layer is None else self.view(getattr(layer, self.storage))

    def __set__(self, layer: Layer, value: ArrayLike) -> None:
        """Copy ``value`` in; for a vector such as a bias it may also come as a row, (1, m)."""
        storage = getattr(layer, self.storage)
        view = self.view(storage)
        array = layer._read(value, self.name, storage.dtype)
        accepted = [view.shape] if storage.ndim > 1 else [storage.shape, (1, *storage.shape)]
        if array.shape not in accepted:
            expected = " or ".join(str(shape) for shape in accepted)
            raise ValueError(f"{layer}.{self.name}: expected shape {expected}, got {array.shape}")
        view[...] = array.reshape(view.shape)


class GradientView(ParameterView):
    """One of the names of a parameter's gradient. An assigned gradient counts as one from ``backward``."""

    def __set__(self, layer: Layer, value: ArrayLike) -> None:
        """Copy ``value`` in, and let ``update`` use it."""
        super().__set__(layer, value)
        layer._has_gradients = True  # type: ignore[attr-defined]


class Dense(Layer):
    """Fully-connected layer, y = x Wᵀ + b (handout 1.1; counterpart: ``torch.nn.Linear``).

    The parameters go by the handout's names, by those of the course's class documentation and, in
    ``state_dict``, by PyTorch's. All are views of the same memory; assigning to one copies into it.

    Args:
        input_size: d, the number of inputs.
        output_size: m, the number of outputs.
        dtype: float32 or float64, in which the layer keeps its parameters and computes.
        seed: where the initial weights come from: a number, with which ``init_weights`` draws the same
            weights each time; a ``RandomState`` or ``Generator``, which goes on from where it is; or
            None, for other weights each time.
        order: how W lies in memory, row after row ("C") or column after column ("F"). For small batches
            BLAS computes x Wᵀ up to twice as fast with "F", and output_grad W with "C".

    Attributes:
        W, b: the weights (m, d) and the bias (m,).
        dW, db: dL/dW (m, d) and dL/db (m,) of the latest backward; zeros before the first.
        weights, bias: W transposed, (d, m), and b as a row, (1, m).
        weights_grad, bias_grad: dW transposed, (d, m), and db as a row, (1, m).
        input_size, in_features, d: the number of inputs.
        output_size, out_features, m: the number of outputs.

    Raises:
        ValueError: a size is no whole number >= 1; an unknown dtype or order.

    Example:
        >>> layer = Dense(2, 3)
        >>> layer.W = [[1, 0], [0, 1], [1, 1]]
        >>> layer.forward([[2.0, 5.0]])
        array([[2., 5., 7.]])
    """

    W = ParameterView("_W")
    b = ParameterView("_b")
    dW = GradientView("_dW")
    db = GradientView("_db")
    weights = ParameterView("_W", lambda W: W.T)
    bias = ParameterView("_b", lambda b: b[np.newaxis])
    weights_grad = GradientView("_dW", lambda dW: dW.T)
    bias_grad = GradientView("_db", lambda db: db[np.newaxis])

    flat_parameters: FloatArray
    flat_gradients: FloatArray

    def __init__(
        self,
        input_size: int,
        output_size: int,
        dtype: DTypeLike = np.float64,
        seed: Seed = 33,
        order: str = "C",
    ) -> None:
        for name, size in (("input_size", input_size), ("output_size", output_size)):
            if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
                raise ValueError(f"Dense: expected {name} to be a whole number >= 1, got {size!r}")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"Dense: expected dtype float32 or float64, got {self.dtype}")
        if order not in ("C", "F"):
            raise ValueError(f"Dense: expected order 'C' or 'F', got {order!r}")
        self.input_size = self.in_features = self.d = int(input_size)
        self.output_size = self.out_features = self.m = int(output_size)
        self.seed = seed
        self.order = order
        self._x: FloatArray | None = None
        size = self.output_size * self.input_size + self.output_size
        self._place(np.zeros(size, self.dtype), np.zeros(size, self.dtype))
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
        self._has_gradients = False  # those there may be belong to the old weights

    def forward(self, x: ArrayLike) -> FloatArray:
        """Compute y = x Wᵀ + b.

        Args:
            x: (N, d); N may be 0.

        Returns:
            y, (N, m), of x's dtype.

        Raises:
            ValueError: x has another shape or holds no numbers.
        """
        x = self._read(x, "forward: x", self.dtype)
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"{self}.forward: expected x of shape (N, {self.input_size}), got {x.shape}")
        self._x = x.astype(self.dtype, copy=False)
        y = self._result("output", (len(x), self.output_size), self.dtype)
        np.matmul(self._x, self._W.T, out=y)
        y += self._b
        return y.astype(x.dtype, copy=False)

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Compute dL/dW and dL/db, and return dL/dx.

        With g = dL/dy, the chain rule gives for y = x Wᵀ + b:

            dL/dW = gᵀ x        dL/db = the sum of g's rows        dL/dx = g W

        Both sums over the batch are sums and no means: a loss that is a mean has its 1/N in g. The
        gradients take the place of the last ones.

        Args:
            output_grad: g, (N, m).

        Returns:
            dL/dx, (N, d), of g's dtype.

        Raises:
            RuntimeError: there was no forward.
            ValueError: g has another shape than the latest output, or holds no numbers.
        """
        output_grad = self._read_output_grad(output_grad, self._x, self.output_size)
        gradient = output_grad.astype(self.dtype, copy=False)
        self._compute_parameter_gradients(gradient)
        x_grad = self._result("input_grad", (len(gradient), self.input_size), self.dtype)
        np.matmul(gradient, self._W, out=x_grad)
        return x_grad.astype(output_grad.dtype, copy=False)

    def backward_parameters(self, output_grad: ArrayLike) -> None:
        """Compute dL/dW and dL/db as ``backward`` does, and leave out dL/dx."""
        output_grad = self._read_output_grad(output_grad, self._x, self.output_size)
        self._compute_parameter_gradients(output_grad.astype(self.dtype, copy=False))

    def _compute_parameter_gradients(self, gradient: FloatArray) -> None:
        # For a single row matmul forgoes BLAS, and takes six to ten times as long as an outer product.
        product = np.multiply if len(gradient) == 1 else np.matmul
        product(gradient.T, self._x, out=self._dW)  # type: ignore[arg-type]  # there was a forward
        np.add.reduce(gradient, axis=0, out=self._db)
        self._has_gradients = True

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent, W ← W - η dL/dW and b ← b - η dL/db, in place.

        Args:
            learning_rate: η.

        Raises:
            RuntimeError: there are no gradients yet.
            ValueError: η is negative, infinite or NaN.
        """
        self.check_gradients()
        scratch = self._result("step", self.flat_parameters.shape, self.dtype)
        gradient_step(self.flat_parameters, self.flat_gradients, learning_rate, scratch)

    def check_gradients(self) -> None:
        """Raise a RuntimeError if neither ``backward`` nor an assignment has left gradients yet."""
        if not self._has_gradients:
            raise RuntimeError(f"{self}.update was called before backward: there are no gradients yet")

    def state_dict(self) -> dict[str, FloatArray]:
        """Return ``{"weight": W, "bias": b}``, as ``torch.nn.Linear`` names and shapes them."""
        return {"weight": self._W.view(StateArray), "bias": self._b.view(StateArray)}

    def move_parameters(self, parameters: FloatArray, gradients: FloatArray) -> None:
        """Keep the parameters and gradients, with their values, in this memory from now on."""
        parameters[...] = self.flat_parameters
        gradients[...] = self.flat_gradients
        self._place(parameters, gradients)

    def _place(self, parameters: FloatArray, gradients: FloatArray) -> None:
        """Make W and b views of one vector, dW and db of another: the weights first, then the bias."""
        self.flat_parameters, self.flat_gradients = parameters, gradients
        self._W, self._b = self._views(parameters)
        self._dW, self._db = self._views(gradients)

    def _views(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        weights, bias = np.split(vector, [self.input_size * self.output_size])
        if self.order == "F":
            return weights.reshape(self.input_size, self.output_size).T, bias
        return weights.reshape(self.output_size, self.input_size), bias

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copied or unpickled layer, whose arrays came back as separate ones."""
        self.__dict__.update(state)
        self._place(self.flat_parameters.copy(), self.flat_gradients.copy())

    def __repr__(self) -> str:
        """Name the layer with its sizes, as in ``Dense(784, 256)``."""
        return f"Dense({self.input_size}, {self.output_size})"


class ReLULayer(Layer):
    """Rectified linear unit, y = max(x, 0) (handout 1.2c; counterpart: ``torch.nn.ReLU``)."""

    _x: FloatArray | None = None

    def forward(self, x: ArrayLike) -> FloatArray:
        """Compute y = max(x, 0); NaN stays NaN.

        Args:
            x: of any shape.

        Returns:
            y, of x's shape and dtype.

        Raises:
            ValueError: x holds no numbers.
        """
        self._x = x = self._read(x, "forward: x")
        return np.maximum(x, 0, out=self._result("output", x.shape, x.dtype))

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dx: dL/dy where x > 0, and 0 where x <= 0 (at NaN dL/dy, as PyTorch has it).

        Args:
            output_grad: dL/dy, of x's shape.

        Returns:
            dL/dx, of output_grad's shape and dtype.

        Raises:
            RuntimeError: there was no forward.
            ValueError: output_grad has another shape than the latest output, or holds no numbers.
        """
        output_grad = self._read_output_grad(output_grad, self._x)
        x: FloatArray = self._x  # type: ignore[assignment]  # there was a forward
        x_grad = self._result("input_grad", x.shape, output_grad.dtype)
        # A product with 0 would make NaN of an infinite gradient. So take the numbers' bits, and keep all
        # of them (-1 is all ones) or none (0): np.where(x <= 0, 0, output_grad), at a third of the time.
        bits = f"i{output_grad.itemsize}"
        keep = (x <= 0).view(np.int8) - np.int8(1)
        np.bitwise_and(output_grad.view(bits), keep, out=x_grad.view(bits))
        return x_grad


class TanhLayer(Layer):
    """Hyperbolic tangent, y = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ) (handout 1.2b; counterpart: ``torch.nn.Tanh``)."""

    _y: FloatArray | None = None

    def forward(self, x: ArrayLike) -> FloatArray:
        """Compute y = tanh(x), to a few units in the last place for every x, and without overflow.

        Multiplied by e⁻ˣ above and below, and with u = e⁻²ˣ - 1, the definition reads tanh(x) =
        -u / (u + 2). For x >= 0 that never overflows, and ``expm1`` gives u without the cancellation
        that eˣ - e⁻ˣ suffers near 0; the sign comes back at the end, since tanh(-x) = -tanh(x).

        Args:
            x: of any shape.

        Returns:
            y, of x's shape and dtype.

        Raises:
            ValueError: x holds no numbers.
        """
        x = self._read(x, "forward: x")
        y = np.abs(x, out=self._result("output", x.shape, x.dtype))
        np.minimum(y, 22, out=y)  # tanh(22) is 1 to the last bit of a float64; -2x can't overflow then
        y *= -2
        np.expm1(y, out=y)
        np.divide(y, -2 - y, out=y)
        self._y = np.copysign(y, x, out=y)
        return self._y

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dx = dL/dy (1 - y²).

        Args:
            output_grad: dL/dy, of x's shape.

        Returns:
            dL/dx, of output_grad's shape and dtype.

        Raises:
            RuntimeError: there was no forward.
            ValueError: output_grad has another shape than the latest output, or holds no numbers.
        """
        output_grad = self._read_output_grad(output_grad, self._y)
        y: FloatArray = self._y  # type: ignore[assignment]
        x_grad = self._result("input_grad", y.shape, output_grad.dtype)
        return np.multiply(output_grad, 1 - y * y, out=x_grad)


class SoftmaxLayer(Layer):
    """Softmax, y_j = exp(x_j) / Σ_k exp(x_k) over the last axis (handout 1.2a; ``torch.nn.Softmax(-1)``)."""

    _y: FloatArray | None = None

    def forward(self, x: ArrayLike) -> FloatArray:
        """Compute y = softmax(x).

        Each row is shifted by its own maximum first, which changes nothing, exp(x_j - c) / Σ exp(x_k - c)
        being the same for every c, and leaves no exponent above 0 to overflow.

        Args:
            x: (..., K).

        Returns:
            y, of x's shape and dtype, each row summing to 1; rows with +inf or NaN are NaN.

        Raises:
            ValueError: x holds no numbers.
        """
        x = self._read(x, "forward: x")
        y = self._result("output", x.shape, x.dtype)
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, quietly, as in PyTorch
            np.subtract(x, x.max(axis=-1, keepdims=True, initial=-np.inf), out=y)
            np.exp(y, out=y)
            y /= y.sum(axis=-1, keepdims=True)
        self._y = y
        return y

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Return dL/dx.

        The Jacobian of a row is ∂y_k/∂x_j = y_k (δ_kj - y_j). Its product with g = dL/dy needs no
        matrix: dL/dx_j = Σ_k g_k y_k (δ_kj - y_j) = y_j (g_j - Σ_k g_k y_k).

        Args:
            output_grad: g, (..., K).

        Returns:
            dL/dx, of g's shape and dtype.

        Raises:
            RuntimeError: there was no forward.
            ValueError: g has another shape than the latest output, or holds no numbers.
        """
        output_grad = self._read_output_grad(output_grad, self._y)
        y: FloatArray = self._y  # type: ignore[assignment]
        x_grad = self._result("input_grad", y.shape, output_grad.dtype)
        np.multiply(output_grad, y, out=x_grad)
        np.subtract(output_grad, x_grad.sum(axis=-1, keepdims=True), out=x_grad)
        x_grad *= y
        return x_grad


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
        """Compute the loss.

        A probability below the smallest normal number of its dtype, such as 0, counts as that number,
        so that the loss and its gradient are finite.

        Args:
            prediction: (N, K), probabilities or logits; N >= 1 and K >= 1.
            target: labels, (N,), whole numbers of 0 .. K-1; or a distribution per row, (N, K).

        Returns:
            The loss, a float64.

        Raises:
            ValueError: a shape is wrong or the batch is empty; a label is no whole number or out of
                range; a probability (not a logit) or a target is infinite or NaN.
        """
        prediction = self._read(prediction, "forward: prediction")
        if prediction.ndim != 2 or 0 in prediction.shape:
            raise ValueError(
                f"{self}.forward: expected prediction of shape (N, K) with N, K >= 1, got {prediction.shape}"
            )
        target = self._read_target(target, prediction)
        if self.from_logits:
            self._remembered = log_p, _ = log_softmax(prediction), target
        else:
            self._check_finite(prediction, "probabilities")
            p = np.maximum(prediction, np.finfo(prediction.dtype).tiny)
            self._remembered = p, target
            log_p = np.log(p)
        if target.ndim == 1:
            total = log_p[np.arange(len(target)), target].sum(dtype=np.float64)
        else:
            total = (target * log_p).sum(dtype=np.float64)
        return np.float64(0 - total / len(target))  # 0 - 0 is 0, and -0 would look odd

    def backward(self, output_grad: ArrayLike = 1.0) -> FloatArray:
        """Return dL/dprediction.

        For probabilities ∂L/∂p_ik = -1/N t_ik / p_ik. For logits the same times the softmax's Jacobian,
        which comes to ∂L/∂z_ik = 1/N (p_ik Σ_j t_ij - t_ik), or (p - t)/N where the targets sum to 1.

        Args:
            output_grad: one number, the gradient of what the loss is used for with respect to the loss.

        Returns:
            dL/dprediction, (N, K), of prediction's dtype.

        Raises:
            RuntimeError: there was no forward.
            ValueError: output_grad is not one number.
        """
        if self._remembered is None:
            raise RuntimeError(f"{self}.backward was called before forward")
        upstream = self._read(output_grad, "backward: output_grad")
        if upstream.size != 1:
            raise ValueError(f"{self}.backward: expected one number, got shape {upstream.shape}")
        remembered, target = self._remembered
        rows = np.arange(len(target))
        if self.from_logits:
            gradient = np.exp(remembered)
            if target.ndim == 1:
                gradient[rows, target] -= 1
            else:
                gradient *= target.sum(axis=1, keepdims=True)
                gradient -= target
        elif target.ndim == 1:
            gradient = np.zeros_like(remembered)
            gradient[rows, target] = -1 / remembered[rows, target]
        else:
            gradient = np.divide(-target, remembered, dtype=remembered.dtype, casting="same_kind")
        gradient *= upstream.item() / len(target)
        return gradient

    def _read_target(self, target: ArrayLike, prediction: FloatArray) -> NDArray[Any]:
        """Return the target as checked labels (N,) or as a distribution per row (N, K)."""
        shape = batch, classes = prediction.shape
        labels = np.asarray(detached(target))
        if labels.shape == shape:
            distribution = self._read(labels, "forward: target", prediction.dtype)
            self._check_finite(distribution, "targets")
            return distribution
        if labels.shape != (batch,):
            raise ValueError(
                f"{self}.forward: expected target of shape {(batch,)} or {shape}, got {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise ValueError(f"{self}.forward: expected labels to be whole numbers, got dtype {labels.dtype}")
        if labels.min() < 0 or labels.max() >= classes:
            where = np.flatnonzero((labels < 0) | (labels >= classes))[0]
            raise ValueError(
                f"{self}.forward: expected labels of 0 to {classes - 1}, got {labels[where]} at index {where}"
            )
        return labels

    def _check_finite(self, values: FloatArray, name: str) -> None:
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"{self}.forward: expected finite {name}, got {values[row, column]} at [{row}, {column}]"
            )

    def __repr__(self) -> str:
        """Name the layer, as in ``CrossEntropyLossLayer(from_logits=True)``."""
        return f"{type(self).__name__}({'from_logits=True' if self.from_logits else ''})"


def log_softmax(x: FloatArray) -> FloatArray:
    """Compute log softmax(x) = x - c - log Σ_k exp(x_k - c), with c the largest of the row.

    Args:
        x: (N, K), float32 or float64.

    Returns:
        (N, K), of x's dtype.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = x - x.max(axis=1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def gradient_step(
    parameters: FloatArray, gradients: FloatArray, learning_rate: float, scratch: FloatArray
) -> None:
    """Take one step of gradient descent, θ ← θ - η dL/dθ, in place.

    Args:
        parameters: θ, a vector; changed.
        gradients: dL/dθ, of the same shape.
        learning_rate: η.
        scratch: memory of the same shape and dtype, for η dL/dθ.

    Raises:
        ValueError: η is negative, infinite or NaN.
    """
    if not 0 <= learning_rate < math.inf:
        raise ValueError(f"update: expected a finite learning rate >= 0, got {learning_rate!r}")
    if learning_rate != 1:  # with gradients that have η in them already, one pass over memory is enough
        gradients = np.multiply(gradients, float(learning_rate), out=scratch)
    np.subtract(parameters, gradients, out=parameters)


def as_float_array(value: ArrayLike, dtype: DTypeLike = np.float64) -> FloatArray:
    """Read ``value`` as an array of float32 or float64, without a copy where it is one already.

    Args:
        value: an array, nested lists of numbers, or a tensor (also one that requires a gradient).
        dtype: float32 or float64, for numbers of any other type (whole numbers, half precision, ...).

    Raises:
        ValueError: ``value`` holds something else than real numbers.
    """
    if type(value) is np.ndarray and value.dtype.char in "fd" and value.dtype.isnative:
        return value
    try:
        array = np.asarray(detached(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected an array of numbers, got {reprlib.repr(value)}") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected real numbers, got {reprlib.repr(value)} of dtype {array.dtype}")
    if array.dtype.char not in "fd":
        return array.astype(dtype)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def detached(value: Any) -> Any:
    """Return ``value``, or if it is a tensor, one that NumPy can read: without gradient, on the CPU."""
    return value.detach().cpu() if hasattr(value, "detach") else value


class StateArray(np.ndarray):
    """An entry of a state dict: an ordinary array that ``torch.nn.Module.load_state_dict`` takes as well.

    PyTorch asks of a state dict's values only that they know ``__torch_function__``; it then says
    ``parameter.copy_(entry)`` and leaves it to the entry to become a tensor of the parameter's kind.
    """

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``function`` with the tensor that each StateArray among its arguments stands for."""
        tensor = next(arg for arg in args if hasattr(arg, "new_tensor"))
        args = tuple(tensor.new_tensor(np.asarray(arg)) if isinstance(arg, cls) else arg for arg in args)
        return function(*args, **(kwargs or {}))
