"""Untrusted text made safe to show: in a log or a terminal, and in a cell of a CSV file.

What a model or a feed wrote may hold characters that move the cursor, reverse the reading order or hide; they are
shown as `\\x1b` or `\\u202e` instead. Nothing is dropped. The set is a fixed list, not `unicodedata`, so that every
version of Python renders a run into the same bytes. Limit: look-alike letters are not told apart.
"""

from __future__ import annotations

import re

UNSEEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 and C1 controls: cursor, colours, title of the window
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # fillers that take no or blank space
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, line separators, bidi controls
    "\ud800-\udfff"  # halves of a surrogate pair: no encoding takes them
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # format characters, tags
    "]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA = re.compile(r"[=+\-@|%\uff0b\uff0d\uff1d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z")


def escape_line(text: str) -> str:
    """One line for a log or a terminal: new lines too are shown as `\\n`."""
    return UNSEEN.sub(_shown, text)


def escape_block(text: str, indent: str = "    ") -> str:
    """The same text over its own lines, each after the first indented, so that none can pass for a line of ours."""
    return f"\n{indent}".join(escape_line(line) for line in text.replace("\r\n", "\n").split("\n"))


def csv_cell(text: str) -> str:
    """Text that a spreadsheet shows and never computes: what begins like a formula gets an apostrophe in front.

    A plain number stays as it is. The `csv` module does the quoting of commas and quotation marks.
    """
    shown = escape_line(text)
    if _FORMULA.match(shown.lstrip(" '\"\u00a0")) and not _NUMBER.match(shown):
        return "'" + shown
    return shown


def _shown(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _SHORT.get(character) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")
