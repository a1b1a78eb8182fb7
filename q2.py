"""The multi-layer perceptron: layers in a row, itself a layer (handout, section 2).

``forward`` hands a batch from layer to layer, and ``backward`` hands the gradient back in the opposite
order. Shapes, dtypes and errors are those of its layers; ``q1.py`` says what holds for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from numpy.typing import ArrayLike

from q1 import FloatArray, Layer, as_float_array


class MLP(Layer):
    """Layers in a row, each fed with the output of the one before (counterpart: ``torch.nn.Sequential``).

    The layers keep the weights that they have. As with ``Sequential``, ``network[0]`` is a layer,
    ``network[:2]`` a network of the first two, a layer may be part of several networks, and parameters
    are called "0.weight", "0.bias", "2.weight", ... after the place of their layer. Unlike there, no
    layer stands at two places of one network, for it remembers only its latest ``forward``.

    Args:
        layers: any number of layers; none at all make the identity.

    Attributes:
        layers: the layers, a tuple.

    Raises:
        TypeError: one of the layers is no Layer.
        ValueError: a layer comes twice.

    Example:
        >>> import numpy as np
        >>> from q1 import Dense, ReLULayer
        >>> network = MLP([Dense(4, 3), ReLULayer(), Dense(3, 2)])
        >>> network(np.ones((5, 4))).shape
        (5, 2)
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = tuple(layers)
        for place, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"MLP: expected a Layer at place {place}, got {layer!r}")
            if any(layer is earlier for earlier in self.layers[:place]):
                raise ValueError(f"MLP: expected another layer at each place, got {layer} again at {place}")

    def init_weights(self) -> None:
        """Draw the parameters of every layer anew."""
        for layer in self.layers:
            layer.init_weights()

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return layer_n(... layer_1(layer_0(x))), of x's dtype."""
        output: Any = x if self.layers else as_float_array(x)
        for layer in self.layers:
            output = layer.forward(output)
        return output

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Compute the gradients of all parameters, and return dL/dx.

        By the chain rule the dL/dinput that a layer returns is the dL/doutput of the one before it.
        """
        gradient: Any = output_grad if self.layers else as_float_array(output_grad)
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def backward_parameters(self, output_grad: ArrayLike) -> None:
        """Compute the gradients of all parameters as ``backward`` does, and leave out dL/dx."""
        gradient: Any = output_grad
        for layer in reversed(self.layers[1:]):
            gradient = layer.backward(gradient)
        for layer in self.layers[:1]:
            layer.backward_parameters(gradient)

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent with every parameter, or with none if gradients are missing."""
        if not self.has_gradients:
            raise RuntimeError(f"{self}.update was called before backward: there are no gradients yet")
        for layer in self.layers:
            layer.update(learning_rate)

    @property
    def has_gradients(self) -> bool:  # type: ignore[override]
        """Whether all layers have their gradients."""
        return all(layer.has_gradients for layer in self.layers)

    def state_dict(self) -> dict[str, FloatArray]:
        """Return every layer's parameters, under the names of ``torch.nn.Sequential.state_dict``."""
        return {
            f"{place}.{name}": array
            for place, layer in enumerate(self.layers)
            for name, array in layer.state_dict().items()
        }

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @overload
    def __getitem__(self, place: int) -> Layer: ...
    @overload
    def __getitem__(self, place: slice) -> MLP: ...
    def __getitem__(self, place: int | slice) -> Layer | MLP:
        """Return the layer at a place, or a network of the layers of a slice, which shares them."""
        return MLP(self.layers[place]) if isinstance(place, slice) else self.layers[place]

    def __repr__(self) -> str:
        return f"MLP([{', '.join(map(repr, self.layers))}])"
