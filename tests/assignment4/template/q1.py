class Layer:
    def __init__(self):
        pass

    def init_weights(self):
        pass

    def forward(self, *args):
        pass

    def backward(self, *args):
        pass

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.input_size = input_size
        self.output_size = output_size
        self.weights = None
        self.bias = None
        self.weights_grad = None
        self.bias_grad = None
        self.init_weights()

    def init_weights(self):
        pass

    def forward(self, x):
        pass

    def backward(self, output_grad):
        pass

    def update(self, learning_rate):
        pass


class ReLULayer(Layer):
    def forward(self, x):
        pass

    def backward(self, output_grad):
        pass


class TanhLayer(Layer):
    def forward(self, x):
        pass

    def backward(self, output_grad):
        pass


class SoftmaxLayer(Layer):
    def forward(self, x):
        pass

    def backward(self, output_grad):
        pass


class CrossEntropyLossLayer(Layer):
    def forward(self, prediction, target):
        pass

    def backward(self, output_grad):
        pass
