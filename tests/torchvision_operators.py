"""Makes torchvision importable beside a torch that it was not built for, such as one for other hardware.

Its import then fails for want of two operators, which neither data sets nor transforms use: their names are
declared here. With a pair that matches, importing this is importing torchvision.
"""

try:
    import torchvision
except ImportError:
    pass  # there is none; a submission that wants it is told so
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    import torch

    LIBRARY = torch.library.Library("torchvision", "FRAGMENT")  # the operators are gone when it is
    for operator in ("nms", "qnms"):
        LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
