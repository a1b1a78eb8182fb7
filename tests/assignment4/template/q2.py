from q1 import Layer


class MLP(Layer):
    def __init__(self, layers):
        self.layers = layers
        self.init_weights()

    def init_weights(self):
        pass

    def forward(self, x):
        pass

    def backward(self, output_grad):
        pass

    def update(self, learning_rate):
        pass
