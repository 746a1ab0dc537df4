"""Equations of the catalogue as HTML: indices lowered, powers raised, Greek letters."""

import html
import re

from markupsafe import Markup

_GREEK = {
    "delta": "δ", "phi": "φ", "lambda": "λ", "eta": "η", "psi": "ψ", "beta": "β", "gamma": "γ",
    "sigma": "σ", "theta": "θ", "grad": "∇",
}  # fmt: skip
_WORDS = re.compile(rf"(?<![A-Za-z])({'|'.join(_GREEK)})(?![a-z])")
_LOWERED = re.compile(r"_(?:\{([^{}]*)\}|(\w))")
_RAISED = re.compile(r"\^(?:\{([^{}]*)\}|(\w))")


def equation_html(plain: str) -> Markup:
    """An equation such as `delta_l = phi'(h_l) . (F_{l+1}^T delta_{l+1})`; whatever it holds of
    HTML is escaped."""
    text = _WORDS.sub(lambda match: _GREEK[match[1]], html.escape(plain, quote=False))
    text = text.replace("'", "′").replace(" . ", " ⊙ ").replace("||", "‖")
    for pattern, tag in ((_LOWERED, "sub"), (_RAISED, "sup")):
        text = pattern.sub(lambda match, tag=tag: f"<{tag}>{match[1] or match[2]}</{tag}>", text)
    return Markup(text.replace("<sup>T</sup>", "<sup>⊤</sup>").replace("-", "−"))
