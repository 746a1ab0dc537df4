"""Whether a page can say of a result what it says of all: a damaged one must not take the others
with it."""

from ..compare.curves import panels_of
from ..compare.subject import Subject, readable
from ..config.errors import ConfigError
from .head.notes import bounds_fold
from .head.tiles import tiles_of
from .questions.cost import cost_rows
from .questions.full import folds_of
from .questions.law import law_sentences, law_table
from .questions.spectra import spectrum_panels

_DAMAGE = (KeyError, TypeError, IndexError, AttributeError, ValueError)


def trial(subject: Subject) -> ConfigError | None:
    """What is wrong with a result; None if nothing is."""
    try:
        tiles_of(subject)
        bounds_fold([subject])
        list(cost_rows(subject))
        law_sentences(subject)
        law_table(subject)
        list(folds_of(subject, ""))
        if subject.members is None:  # of a sweep the curves are what takes long
            panels_of([subject])
            list(spectrum_panels([subject]))
    except _DAMAGE as error:
        what = f"holds a damaged result ({type(error).__name__}: {error}); run it again"
        return ConfigError(readable(str(subject.folder)), what)
    return None
