"""The documentation site: Sphinx, MyST markdown, furo. Built strictly by ``tox -e docs``.

Nothing is fetched while it is built: names of Python's and of numpy's are not linked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import ndsharray  # noqa: E402

project = "ndsharray"
author = "the ndsharray developers"
copyright = "the ndsharray developers"
release = version = ndsharray.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build", "README.md"]  # index.rst shows README.md
nitpicky = True
nitpick_ignore = [("py:class", "io.UnsupportedOperation")]  # a base class, shown with its own

# What stands in single backticks in a docstring is code: names of parameters as well as of methods.
default_role = "literal"
autodoc_typehints = "none"  # the docstrings say them in words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"ndsharray {release}"
html_show_copyright = False
html_copy_source = False

# These pages stand at the project's top. A code host shows a link to each, the site the page.
_AT_THE_TOP = {
    "reliability": "RELIABILITY.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
}


def _show_the_page(app: object, page: str, source: list[str]) -> None:
    if page in _AT_THE_TOP:
        text = (ROOT / _AT_THE_TOP[page]).read_text(encoding="utf8")
        source[0] = text.replace("](docs/", "](")


def setup(app: Any) -> None:
    """Show the pages that stand at the top."""
    app.connect("source-read", _show_the_page)
