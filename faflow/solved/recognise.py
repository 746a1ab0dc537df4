"""The exact solution of a given problem, where one is known."""

from collections.abc import Callable

from ..flow import FlowProblem
from ..rules import (
    AbstractLearningRule,
    DirectFeedbackAlignment,
    FAStar,
    FeedbackAlignment,
    Gradient,
    bare,
)
from .abstract import AbstractSolvedProblem
from .lambda_balanced import LambdaBalanced
from .needs import UnsolvedError
from .one_row import FAStarOneRow
from .whitened_rows import WhitenedRows

BY_RULE: dict[type[AbstractLearningRule], Callable[[FlowProblem], AbstractSolvedProblem]] = {
    Gradient: LambdaBalanced.of,
    FeedbackAlignment: WhitenedRows.of,
    DirectFeedbackAlignment: WhitenedRows.of,
    FAStar: FAStarOneRow.of,
}


def exact_solution(problem: FlowProblem) -> AbstractSolvedProblem:
    """The solved problem that this one is. UnsolvedError, a ValueError, says why if none is known.

    Conditions are checked on numbers: call it outside of jit.
    """
    make = BY_RULE.get(type(problem.rule))
    if make is None:
        names = ", ".join(rule.__name__ for rule in BY_RULE)
        rule = type(bare(problem.rule)).__name__
        what = f"is known for the rules {names} only, but the rule is {rule}"
        raise UnsolvedError(what)
    return make(problem)
