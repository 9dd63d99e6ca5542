"""Sphinx settings of the documentation site; `bash scripts/docs.sh` builds it into out/docs."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE / "extensions"), str(ROOT)]

import flaxnoise  # noqa: E402

project = "flaxnoise"
author = "The flaxnoise authors"
copyright = "The flaxnoise authors"
version = release = flaxnoise.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "formulas",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True
# Types of other projects: resolving them would need their inventories from the network.
nitpick_ignore_regex = [("py:.*", r"(?!flaxnoise).*")]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the section Args says more than the types
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
default_role = "code"
add_module_names = False
suppress_warnings = ["autodoc.mocked_object"]

html_theme = "furo"
html_title = "flaxnoise"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
exclude_patterns = ["extensions"]
