"""A network of layers."""

from q1 import Layer


class MLP(Layer):
    def __init__(self, layers):
        self.layers = layers

    def init_weights(self):
        for layer in self.layers:
            layer.init_weights()

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, output_grad):
        for layer in reversed(self.layers):
            output_grad = layer.backward(output_grad)
        return output_grad

    def update(self, lr):
        for layer in self.layers:
            layer.update(lr)
