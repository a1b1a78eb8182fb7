"""A network of layers in a functional style."""

from q1 import Layer


class MLP(Layer):
    __slots__ = ("layers",)

    def __init__(self, layers):
        self.layers = tuple(layers)

    def init_weights(self):
        for layer in self.layers:
            layer.init_weights()
        return self

    def apply(self, x):
        for layer in self.layers:
            x = layer.forward(x)

        def pull(gradient):
            for layer in reversed(self.layers):
                gradient = layer.backward(gradient)
            return gradient

        return x, pull

    def update(self, lr):
        for layer in self.layers:
            layer.update(lr)
        return self
