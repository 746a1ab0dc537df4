"""The name that was meant, where a wrong one was typed."""

import difflib
from collections.abc import Iterable
from typing import Any

# What the literature and other tools call things, in the form of `_plain`. A word may stand for
# names in several lists; the one that is valid where it was typed is meant.
ALIASES: dict[str, tuple[str, ...]] = {
    "fa": ("feedback-alignment",),
    "dfa": ("direct-feedback-alignment",),
    "directfeedback": ("direct-feedback-alignment",),
    "drtp": ("direct-random-target-projection",),
    "kp": ("kolen-pollack",),
    "wm": ("weight-mirror",),
    "usf": ("uniform-sign-symmetry",),
    "signsymmetry": ("uniform-sign-symmetry",),
    "dtp": ("fixed-weight-difference-target-propagation",),
    "targetpropagation": ("fixed-weight-difference-target-propagation",),
    "hebb": ("hebbian",),
    "bp": ("gradient",),
    "backprop": ("gradient",),
    "backpropagation": ("gradient",),
    "gd": ("gradient", "euler"),
    "sgd": ("gradient", "euler"),
    "gradientdescent": ("gradient", "euler"),
    "gradientflow": ("gradient",),
    "l2": ("squared", "weight-decay"),
    "mse": ("squared",),
    "meansquarederror": ("squared",),
    "squarederror": ("squared",),
    "leastsquares": ("squared",),
    "ce": ("cross-entropy",),
    "bce": ("cross-entropy",),
    "nll": ("cross-entropy",),
    "xent": ("cross-entropy",),
    "softmax": ("cross-entropy",),
    "logistic": ("cross-entropy",),
    "huber": ("logcosh",),
    "average": ("mean",),
    "lin": ("linear",),
    "id": ("linear",),
    "identity": ("linear",),
    "none": ("linear",),
    "lrelu": ("leaky-relu",),
    "sigmoid": ("erf", "tanh"),
    "square": ("quadratic", "squared"),
    "normal": ("gaussian",),
    "random": ("gaussian",),
    "randn": ("gaussian",),
    "zeros": ("zero",),
    "npz": ("arrays",),
    "numpy": ("arrays",),
    "file": ("arrays",),
    "data": ("arrays",),
    "student": ("teacher",),
    "studentteacher": ("teacher",),
    "teacherstudent": ("teacher",),
    "factorization": ("matrix-factorisation",),
    "matrixfactorization": ("matrix-factorisation",),
    "rk4": ("dopri5",),
    "rk45": ("tsit5",),
    "ode45": ("dopri5",),
    "dop853": ("dopri8",),
    "lsoda": ("auto",),
    "angle": ("alignment",),
    "cosine": ("alignment",),
    "invariants": ("laws",),
    "rate": ("exponent",),
    "ntk": ("kernel",),
    "norm": ("norms",),
    "model": ("network",),
    "net": ("network",),
    "dataset": ("task",),
    "optimizer": ("rule",),
    "optimiser": ("rule",),
    "algorithm": ("rule",),
    "initialization": ("init",),
    "initialisation": ("init",),
    "type": ("kind",),
    "layers": ("widths",),
    "hidden": ("widths",),
    "sizes": ("widths",),
    "dims": ("widths",),
    "nonlinearity": ("activation",),
    "n": ("samples",),
    "nsamples": ("samples",),
    "inputs": ("features", "X"),
    "features": ("X",),
    "targets": ("y",),
    "labels": ("y",),
    "dim": ("features",),
    "std": ("scale",),
    "gain": ("scale",),
    "t": ("t1",),
    "tmax": ("t1",),
    "time": ("t1",),
    "epochs": ("t1",),
    "tol": ("rtol",),
    "method": ("solver",),
    "lr": ("eta", "step"),
    "learningrate": ("eta", "step"),
    "double": ("float64",),
    "f64": ("float64",),
    "single": ("float32",),
    "f32": ("float32",),
}


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that was most likely meant; None if none is near.

    The same letters in another spelling (`ReLU`, `leaky_relu`), else a word that stands for one in
    the literature (`dfa`), else the nearest spelling.
    """
    names = list(dict.fromkeys(valid))
    plain = {_plain(one): one for one in reversed(names)}
    if _plain(name) in plain:
        return plain[_plain(name)]
    meant = [one for one in ALIASES.get(_plain(name), ()) if one in names]
    return next(iter([*meant, *difflib.get_close_matches(name, names, n=1)]), None)


class Named(dict[str, Any]):
    """A dict whose KeyError says which name was meant, or which there are."""

    def __missing__(self, name: str) -> Any:
        close = closest(str(name), self)
        remedy = f"valid: {', '.join(self)}" if close is None else f"did you mean '{close}'?"
        raise KeyError(f"{name}; {remedy}" if self else f"{name}; there are none")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
