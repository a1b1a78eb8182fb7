"""Has properties that raise, and a metaclass that does.

Expect: RuntimeError
"""


class Meta(type):
    def __getattribute__(cls, name):
        raise RuntimeError(name)


class ReLULayer(metaclass=Meta):
    @property
    def forward(self):
        raise RuntimeError("no forward")
