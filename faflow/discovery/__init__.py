"""Laws found by the machine: how many a rule has, which are known, and polynomials for the rest."""

from .abstract import AbstractFields as AbstractFields
from .block import BlockCount as BlockCount
from .block import count_block as count_block
from .block_fields import BlockFields as BlockFields
from .discover import MOST_WEIGHTS as MOST_WEIGHTS
from .discover import Discovery as Discovery
from .discover import KnownLaw as KnownLaw
from .discover import discover as discover
from .discover import discover_in as discover_in
from .fields import Fields as Fields
from .fresh import FreshPlaces as FreshPlaces
from .fresh import relative_rates as relative_rates
from .lie import Orbit as Orbit
from .lie import find_orbit as find_orbit
from .names import write_polynomial as write_polynomial
from .polynomials import MOST_MONOMIALS as MOST_MONOMIALS
from .polynomials import PolynomialLaws as PolynomialLaws
from .polynomials import find_polynomials as find_polynomials
from .polynomials import monomial_count as monomial_count
from .regions import Region as Region
