"""EE-411, homework 3: backpropagation by hand, then an MLP, a CNN and permuted pixels on Fashion-MNIST."""
