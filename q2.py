"""The multi-layer perceptron: layers in a row, itself a layer (handout, section 2).

``forward`` hands a batch from layer to layer and ``backward`` hands the gradient back in the opposite
order. The parameters of all layers lie in one long vector, so that ``update`` is a single step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from q1 import Dense, FloatArray, Layer, as_float_array, gradient_step


class MLP(Layer):
    """Layers in a row, each fed with the output of the one before (counterpart: ``torch.nn.Sequential``).

    The layers keep the weights that they have, in the network's memory from then on (so take views such
    as ``layer.W`` afterwards). As with ``Sequential``, ``network[0]`` is a layer,
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
        >>> from q1 import Dense, ReLULayer
        >>> network = MLP([Dense(4, 3), ReLULayer(), Dense(3, 2)])
        >>> network.forward(np.ones((5, 4))).shape
        (5, 2)
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = tuple(layers)
        for place, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"MLP: expected a Layer at place {place}, got {layer!r}")
            if any(layer is earlier for earlier in self.layers[:place]):
                raise ValueError(f"MLP: expected another layer at each place, got {layer} again at {place}")
        self._gather_parameters()

    def init_weights(self) -> None:
        """Draw the parameters of every layer anew."""
        for layer in self.layers:
            layer.init_weights()

    def forward(self, x: ArrayLike) -> FloatArray:
        """Compute layer_n(... layer_1(layer_0(x))).

        Args:
            x: a batch of inputs, of the shape that the first layer takes.

        Returns:
            The output of the last layer, of x's dtype.

        Raises:
            ValueError: x does not fit the first layer, or an output does not fit the next one.
        """
        output = as_float_array(x) if not self.layers else x
        for layer in self.layers:
            output = layer.forward(output)
        return output  # type: ignore[return-value]

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Compute the gradients of all parameters, and return dL/dx.

        By the chain rule the dL/dinput that a layer returns is the dL/doutput of the one before it.

        Args:
            output_grad: dL/doutput, of the latest output's shape.

        Returns:
            dL/dx, of the latest input's shape and output_grad's dtype.

        Raises:
            RuntimeError: there was no forward.
            ValueError: output_grad has another shape than the latest output.
        """
        gradient = as_float_array(output_grad) if not self.layers else output_grad
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient  # type: ignore[return-value]

    def backward_parameters(self, output_grad: ArrayLike) -> None:
        """Compute the gradients of all parameters as ``backward`` does, and leave out dL/dx."""
        gradient = output_grad
        for layer in reversed(self.layers[1:]):
            gradient = layer.backward(gradient)
        for layer in self.layers[:1]:
            layer.backward_parameters(gradient)

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent with every parameter.

        Raises:
            RuntimeError: a layer has no gradients yet; nothing has changed then.
            ValueError: the learning rate is negative, infinite or NaN.
        """
        self.check_gradients()
        if self.flat_parameters is not None and self.flat_gradients is not None:
            scratch = self._result("step", self.flat_parameters.shape, self.flat_parameters.dtype)
            gradient_step(self.flat_parameters, self.flat_gradients, learning_rate, scratch)
        for layer in self._updated_alone:
            layer.update(learning_rate)

    def check_gradients(self) -> None:
        """Raise a RuntimeError if a layer with parameters has no gradients yet."""
        for layer in self.layers:
            layer.check_gradients()

    def state_dict(self) -> dict[str, FloatArray]:
        """Return every layer's parameters, under the names of ``torch.nn.Sequential.state_dict``."""
        return {
            f"{place}.{name}": array
            for place, layer in enumerate(self.layers)
            for name, array in layer.state_dict().items()
        }

    @property
    def parameter_count(self) -> int:
        """How many numbers the network learns."""
        return sum(layer.parameter_count for layer in self.layers)

    @property
    def reuse_buffers(self) -> bool:
        """Whether every layer may answer in the same memory each time (see ``Layer``)."""
        return self._reuse_buffers

    @reuse_buffers.setter
    def reuse_buffers(self, reuse: bool) -> None:
        self._reuse_buffers = reuse
        for layer in self.layers:
            layer.reuse_buffers = reuse

    _reuse_buffers = False

    def _gather_parameters(self) -> None:
        """Lay the parameters of the layers end to end in one vector, and their gradients in another.

        That takes layers of one dtype, which lie in no other network's vector and whose ``update`` no
        subclass has changed. Otherwise all stay where they are, and ``update`` goes from layer to layer.
        """
        learning = [layer for layer in self.layers if layer.flat_parameters is not None]
        vectors: list[Any] = [layer.flat_parameters for layer in learning]
        free = all(vector.base is None for vector in vectors)  # a part of another vector has a base
        plain = all(type(layer).update in (Dense.update, MLP.update) for layer in learning)
        if vectors and free and plain and len({vector.dtype for vector in vectors}) == 1:
            self._learning = learning
            self._updated_alone = [layer for layer in self.layers if layer not in learning]
            for network in learning:
                self._updated_alone += getattr(network, "_updated_alone", [])  # those in a network's network
            self.move_parameters(np.concatenate(vectors), np.empty_like(np.concatenate(vectors)))
        else:
            self.flat_parameters = self.flat_gradients = None
            self._updated_alone = list(self.layers)

    def move_parameters(self, parameters: FloatArray, gradients: FloatArray) -> None:
        """Keep the parameters and gradients of all layers, with their values, in this memory."""
        self.flat_parameters, self.flat_gradients = parameters, gradients
        start = 0
        for layer in self._learning:
            stop = start + layer.parameter_count
            layer.move_parameters(parameters[start:stop], gradients[start:stop])
            start = stop

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copied or unpickled network, whose layers came back each with its own vectors."""
        self.__dict__.update(state)
        self._gather_parameters()

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        """Go through the layers from first to last."""
        return iter(self.layers)

    @overload
    def __getitem__(self, place: int) -> Layer: ...
    @overload
    def __getitem__(self, place: slice) -> MLP: ...
    def __getitem__(self, place: int | slice) -> Layer | MLP:
        """Return the layer at a place, or a network of the layers of a slice, which shares them."""
        return MLP(self.layers[place]) if isinstance(place, slice) else self.layers[place]

    def __repr__(self) -> str:
        """Show the layers, as in ``MLP([Dense(784, 10), SoftmaxLayer()])``."""
        return f"MLP([{', '.join(map(repr, self.layers))}])"
