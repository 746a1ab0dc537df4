"""The papers whose claims can be checked."""

from .bordelon_pehlevan.paper import PAPER as BORDELON_PEHLEVAN
from .claim import Claim as Claim
from .claim import Paper as Paper
from .garg_vempala import PAPER as GARG_VEMPALA
from .robertson_koyejo import PAPER as ROBERTSON_KOYEJO

PAPERS: dict[str, Paper] = {
    "robertson-koyejo-2023": ROBERTSON_KOYEJO,
    "garg-vempala-2022": GARG_VEMPALA,
    "bordelon-pehlevan-2022": BORDELON_PEHLEVAN,
}
