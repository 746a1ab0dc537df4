"""The papers whose claims can be checked."""

from .architectures.marcotte import PAPER as MARCOTTE
from .architectures.tran import PAPER as TRAN
from .claim import Claim as Claim
from .claim import Paper as Paper
from .garg_vempala import PAPER as GARG_VEMPALA
from .robertson_koyejo import PAPER as ROBERTSON_KOYEJO

PAPERS: dict[str, Paper] = {
    "robertson-koyejo-2023": ROBERTSON_KOYEJO,
    "garg-vempala-2022": GARG_VEMPALA,
    "marcotte-2025": MARCOTTE,
    "tran-2026": TRAN,
}
