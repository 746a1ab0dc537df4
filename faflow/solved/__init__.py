"""Flows with exact solutions, shipped as problems with answers."""

from .abstract import AbstractSolvedProblem as AbstractSolvedProblem
from .abstract import AbstractSolvedWeights as AbstractSolvedWeights
from .decoupled_modes import DecoupledModes as DecoupledModes
from .distance import ExactDistance as ExactDistance
from .distance import with_distances as with_distances
from .lambda_balanced import LambdaBalanced as LambdaBalanced
from .needs import UnsolvedError as UnsolvedError
from .one_row import FAStarOneRow as FAStarOneRow
from .recognise import exact_solution as exact_solution
from .whitened_rows import WhitenedRows as WhitenedRows

SOLVED: dict[str, type[AbstractSolvedProblem]] = {
    "lambda-balanced": LambdaBalanced,
    "decoupled-modes": DecoupledModes,
    "whitened-rows": WhitenedRows,
    "fa-star-one-row": FAStarOneRow,
}
