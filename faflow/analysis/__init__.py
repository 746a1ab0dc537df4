"""Numbers from records: law rates and drift, exponents, certificates, limits."""

from typing import TYPE_CHECKING

from .._doors import doors

if TYPE_CHECKING:
    from .alignment import AlignmentCertificate as AlignmentCertificate
    from .alignment import alignment_certificate as alignment_certificate
    from .alignment import certificate_law as certificate_law
    from .alignment import model_certificate as model_certificate
    from .drift import LawDrift as LawDrift
    from .drift import forecast_error as forecast_error
    from .drift import law_drift as law_drift
    from .duals import Dual as Dual
    from .duals import dual as dual
    from .exponent import ExponentFit as ExponentFit
    from .exponent import fit_exponent as fit_exponent
    from .laws import LawRate as LawRate
    from .laws import law_rate as law_rate
    from .laws import law_rates as law_rates
    from .lazy import LazyKernels as LazyKernels
    from .lazy import lazy_kernel as lazy_kernel
    from .lazy import lazy_kernels as lazy_kernels
    from .limits import FactorisationReport as FactorisationReport
    from .limits import MinimumNormReport as MinimumNormReport
    from .limits import factorisation_report as factorisation_report
    from .limits import is_factorisation as is_factorisation
    from .limits import is_linear_squares as is_linear_squares
    from .limits import minimum_norm_report as minimum_norm_report
    from .limits import representation_overlap as representation_overlap
    from .prediction import ExponentPrediction as ExponentPrediction
    from .prediction import predict_exponent as predict_exponent
    from .prediction import residual_operator as residual_operator

__getattr__ = doors(
    __name__,
    {
        "alignment": "AlignmentCertificate alignment_certificate certificate_law model_certificate",
        "duals": "Dual dual",
        "exponent": "ExponentFit fit_exponent",
        "drift": "LawDrift forecast_error law_drift",
        "laws": "LawRate law_rate law_rates",
        "lazy": "LazyKernels lazy_kernel lazy_kernels",
        "limits": "FactorisationReport MinimumNormReport factorisation_report is_factorisation "
        "is_linear_squares minimum_norm_report representation_overlap",
        "prediction": "ExponentPrediction predict_exponent residual_operator",
    },
)
