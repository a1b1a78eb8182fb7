"""Leaves PyTorch's compiler out: there is no C compiler here, so what torch.compile is given runs as it is.

Optimisers and torchvision import the compiler's front end, ``torch._dynamo``, only to be left alone by it.
That takes more than a second, and 70 MiB. So a stand-in answers them, and whoever asks it for more gets the
real one. This is to be imported before torchvision.
"""

import importlib
import sys
from types import ModuleType

import torch

FRONT_END = "torch._dynamo"


def keep(model=None, *_, **options):
    """Return a model or a function as it is, or as a decorator what does."""
    return keep if model is None else model


class StandIn(ModuleType):
    """A module that knows a few functions; the real one takes its place when it is asked for another."""

    def __getattr__(self, name):
        # Python asks for __path__ when a module below this one is imported, or wanted from it.
        if name.startswith("__") and (self.__name__, name) != (FRONT_END, "__path__"):
            raise AttributeError(name)
        for module in [key for key, value in sys.modules.items() if isinstance(value, StandIn)]:
            del sys.modules[module]
        return getattr(importlib.import_module(self.__name__), name)


def leave_out(name, **functions):
    """Let a stand-in for a module answer with some functions, where nobody has imported the real one."""
    if name not in sys.modules:
        sys.modules[name] = module = StandIn(name)
        vars(module).update(functions)


torch.compile = keep
leave_out(FRONT_END, disable=keep, graph_break=lambda *_, **options: None)
leave_out(f"{FRONT_END}.utils", is_compile_supported=lambda device: False)
