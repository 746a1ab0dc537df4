"""Every measure that faflow knows, in the order in which a run reports them."""

from .alignment import ALIGNMENT
from .answers import FACTORISATION, MINIMUM_NORM
from .discrete import DISCRETE_TWIN
from .exact_solution import EXACT_SOLUTION
from .exponent import EXPONENT
from .kernel import KERNEL
from .kinks import KINKS
from .laws import LAWS_MEASURE
from .measure import Entry
from .polish import POLISHED
from .projection import PROJECTION
from .recorded.accuracy import ACCURACY, TEST
from .recorded.own import OWN
from .recorded.series import SERIES
from .sensitivity import SENSITIVITY
from .simulation import ORDER_PARAMETERS
from .wide import WIDE

MEASURES = {
    measure.name: measure
    for measure in (
        LAWS_MEASURE, SERIES, ACCURACY, TEST, OWN, KINKS, ALIGNMENT, EXPONENT, MINIMUM_NORM,
        FACTORISATION,
        EXACT_SOLUTION, KERNEL, DISCRETE_TWIN, ORDER_PARAMETERS, WIDE, PROJECTION, POLISHED,
        SENSITIVITY,
    )
}  # fmt: skip

OBSERVABLES: dict[str, Entry] = {
    name: entry for measure in MEASURES.values() for name, entry in measure.observables.items()
}

# Figures that are themselves errors, of all measures.
ERRORS = frozenset(name for measure in MEASURES.values() for name in measure.errors)
