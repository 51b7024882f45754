"""Tables as HTML pages of their own."""

from pandas.io.formats.style import Styler

STYLES = [
    {"selector": "", "props": "border-collapse: collapse; font: 14px sans-serif"},
    {"selector": "th, td", "props": "padding: 4px 12px; border-bottom: 1px solid #ccc; text-align: left"},
]


def table_page(shown: Styler) -> str:
    """A table whose cells are formatted already, without its index; styles that it has stay."""
    return shown.hide(axis="index").set_table_styles(STYLES, overwrite=False).to_html(doctype_html=True)
