"""Tables as HTML pages of their own."""

from collections.abc import Mapping
from html import escape

import pandas as pd
from pandas.io.formats.style import Styler

from strata.inputs import in_one_line

STYLES = [
    {"selector": "", "props": "border-collapse: collapse; font: 14px sans-serif"},
    {"selector": "th, td", "props": "padding: 4px 12px; border-bottom: 1px solid #ccc; text-align: left"},
]

HEAD = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 14px sans-serif; margin: 16px }}
section {{ overflow-x: auto }}
table {{ border-collapse: collapse }}
th, td {{ padding: 4px 12px; border-bottom: 1px solid #ccc; text-align: left; vertical-align: top }}
</style></head>
<body><h1>{title}</h1>"""


def table_page(shown: Styler) -> str:
    """A table whose cells are formatted already, without its index; styles that it has stay."""
    shown = shown.set_uuid("table").hide(axis="index")  # else its name would be another each time
    return shown.set_table_styles(STYLES, overwrite=False).to_html(doctype_html=True)


def table_of(values: pd.DataFrame) -> str:
    """A table of plain values, to be part of a page; what does not print in them is written out."""
    shown = values.map(lambda value: in_one_line(value) if isinstance(value, str) else value)
    return shown.to_html(index=False, border=0)


def page_of(title: str, parts: Mapping[str, str]) -> str:
    """A page of HTML parts, each under its heading."""
    sections = (f"<section><h2>{escape(heading)}</h2>{part}</section>" for heading, part in parts.items())
    return "\n".join([HEAD.format(title=escape(title)), *sections, "</body></html>\n"])
