"""How Sphinx builds the site: `make docs`. Nothing here needs a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import docstrings

import faflow

project = "faflow"
author = "The faflow authors"
copyright = f"{author}; Apache-2.0"
version = release = faflow.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax inside the site: formulas are read without a network
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 88

smartquotes = False  # phi' is a derivative

html_theme = "furo"
html_title = f"faflow {release}"
html_show_sourcelink = False


def setup(app) -> None:
    app.connect("autodoc-process-docstring", docstrings.process)
    app.connect("autodoc-process-signature", docstrings.sign)
    app.connect("autodoc-skip-member", docstrings.skip)
