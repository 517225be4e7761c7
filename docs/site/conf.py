# SPDX-License-Identifier: ISC
"""Sphinx's settings for the pages that scripts/site makes of the documentation."""

project = "jobwire"
author = "The jobwire authors"
copyright = "2026 The jobwire authors"  # pylint: disable=redefined-builtin
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = [".cache", "files"]

# As the places where these files are read otherwise name their headings.
myst_heading_anchors = 4
highlight_language = "text"
smartquotes = False
# Shortened JSON, and shells' output, are no JSON and no shell.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "jobwire"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_extra_path = ["files"]
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
pygments_style = "default"
pygments_dark_style = "github-dark"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5f8f", "color-brand-content": "#0b5f8f"},
    "dark_css_variables": {"color-brand-primary": "#79c3f2", "color-brand-content": "#79c3f2"},
}
