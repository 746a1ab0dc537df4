"""What exact solutions need of a problem, and the error that says what is missing."""

import numpy as np

from ..flow import FlowProblem
from ..networks import is_linear
from ..rules import AbstractLearningRule
from ..tasks import Squared

ROUNDING = 1e4  # units in the last place, relative, up to which a condition counts as met


class UnsolvedError(ValueError):
    """No exact solution is known for a problem; `need` says why: "needs ..., but ..."."""

    def __init__(self, need: str):
        super().__init__(f"The exact solution {need}.")
        self.need = need


def need_rule(problem: FlowProblem, name: str, *kinds: type[AbstractLearningRule]) -> None:
    """The rule of that `name`, or one that moves the weights as it does."""
    if not isinstance(problem.rule, kinds):
        raise UnsolvedError(f"needs the rule {name}, but it is {type(problem.rule).__name__}")


def need_two_linear_layers(problem: FlowProblem) -> None:
    """Two layers, linear, without biases, under the squared loss, all samples of one weight."""
    net, loss = problem.weights, problem.data.loss
    if problem.data.sample_weights is not None:
        raise UnsolvedError("needs samples of one weight, but the data have sample weights")
    if len(net.weights) != 2 or not is_linear(net) or net.biases:
        phi = type(net.activation).__name__
        biases = "biases" if net.biases else "no biases"
        raise UnsolvedError(
            "needs two linear layers without biases, but the network has "
            f"{len(net.weights)} ({phi}) and {biases}"
        )
    if not isinstance(loss, Squared):
        raise UnsolvedError(f"needs the squared loss, but the loss is {type(loss).__name__}")


def whitening(problem: FlowProblem, side: str) -> float:
    """c of X^T X = c I (`side` = "features") or X X^T = c I ("rows")."""
    x = np.asarray(problem.data.inputs)
    gram, name = (x.T @ x, "X^T X") if side == "features" else (x @ x.T, "X X^T")
    c, apart = multiple_of_identity(gram)
    if apart > ROUNDING * np.finfo(x.dtype).eps * np.linalg.norm(gram):
        share = apart / np.linalg.norm(gram)
        raise UnsolvedError(
            f"needs whitened inputs, {name} = c I, but {name} is {share:.2g} away from it "
            f"(relative); set task.whiten = '{side}'"
        )
    return c


def multiple_of_identity(matrix: np.ndarray) -> tuple[float, float]:
    """(c, ||M - c I||_F) for the nearest multiple of the identity."""
    c = float(np.trace(matrix)) / len(matrix)
    return c, float(np.linalg.norm(matrix - c * np.eye(len(matrix))))
