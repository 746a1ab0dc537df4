"""Numbers from records: law rates and drift, exponents, certificates, limits."""

from .alignment import AlignmentCertificate as AlignmentCertificate
from .alignment import alignment_certificate as alignment_certificate
from .alignment import certificate_law as certificate_law
from .duals import Dual as Dual
from .duals import dual as dual
from .exponent import ExponentFit as ExponentFit
from .exponent import fit_exponent as fit_exponent
from .laws import LawDrift as LawDrift
from .laws import LawRate as LawRate
from .laws import forecast_error as forecast_error
from .laws import law_drift as law_drift
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
