"""Where in a row of CSV a quote was left open."""

import re


def open_quote(lines: list[str], delimiter: str) -> int | None:
    """Return which of a row's lines (from 0) opens the quote in which they end, None where they don't end in one."""
    inside = closed = False  # `closed`: by the piece before, so that another quote is one in the cell
    begins, opened = True, 0  # `begins`: a cell does, so that a quote opens it
    for number, line in enumerate(lines):
        for piece in filter(None, re.split(f'("|{re.escape(delimiter)})', line)):
            is_quote = piece == '"'
            if inside:
                inside, closed = not is_quote, is_quote
                begins = False
                continue
            if is_quote and (closed or begins):
                inside, opened = True, opened if closed else number
            closed, begins = False, piece == delimiter or piece.endswith(("\n", "\r"))
    return opened if inside else None
