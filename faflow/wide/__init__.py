"""Infinite width: the limit of the mean-field scaling, as flows like any other."""

from .dmft import DmftFields as DmftFields
from .dmft import DmftLimit as DmftLimit
from .dmft import TwoTimes as TwoTimes
from .dmft import dmft as dmft
from .gradient import GradientLimit as GradientLimit
from .gradient import gradient_limit as gradient_limit
from .gradient import gradient_on_grid as gradient_on_grid
from .hebbian import MeanFieldHebbian as MeanFieldHebbian
from .kernels import OutputsAt as OutputsAt
from .kernels import WideKernels as WideKernels
from .kernels import WideKernelsObserved as WideKernelsObserved
from .kernels import wide_kernels as wide_kernels
from .limit import WideLimit as WideLimit
from .limit import root as root
from .limit import wide_limit as wide_limit
from .linear import DeepLinear as DeepLinear
from .linear import WideFeedbackAlignment as WideFeedbackAlignment
from .linear import WideLinear as WideLinear
from .linear import deep_linear as deep_linear
from .neurons import RULES as RULES
from .neurons import Neurons as Neurons
from .neurons import neurons as neurons
from .polynomials import alignments as alignments
from .polynomials import integral as integral
from .polynomials import kappas as kappas
from .polynomials import product as product
