"""The documentation as a site: `make docs`, then open docs/_build/html/index.html."""

import re
from importlib.metadata import version as version_of
from pathlib import Path

project = "globalworkspace"
author = "the globalworkspace authors"
version = release = version_of("globalworkspace")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
root_doc = "index"
exclude_patterns = ["_build", "README.md", "results/label-efficiency/*.md"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "globalworkspace"
html_static_path: list[str] = []
default_role = "code"
nitpicky = False

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
suppress_warnings: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
add_module_names = False

ROOT = Path(__file__).resolve().parents[1]
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)\)")


def _outside_as_downloads(app, name, source):  # type: ignore[no-untyped-def]
    """Links to files outside of docs/ become downloads; those to folders become their names."""
    home = (ROOT / "docs" / name).parent

    def replace(found: re.Match[str]) -> str:
        words, path = found[1], found[2]
        target = (home / path).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return found[0]
        if target.is_file():
            return "{download}`" + words.replace("`", "") + f" <{path}>`"
        return words

    source[0] = _OUTSIDE.sub(replace, source[0])


def setup(app):  # type: ignore[no-untyped-def]
    """What Sphinx calls first."""
    app.connect("source-read", _outside_as_downloads)
