"""`{column}`, `{previous.column}` and `{file.time}` texts.

A template that names an empty cell gives nothing, so that its field is left out; one that is a single `{column}` keeps
the cell's type.
"""

import re
from collections.abc import Callable

_TOKEN = re.compile(r"\{([^{}]+)\}")
_PREVIOUS = "previous."
LINE = "row.line"
AGAIN = "row.again"
FILE_TIME = "file.time"

Cell = str | bool | int | float
Lookup = Callable[[str, bool], Cell | None]
"""(column or built-in name, of the previous row?) → what stands there, None if nothing."""


class TemplateError(ValueError):
    """The text is no template."""


def is_builtin(name: str) -> bool:
    """Tell whether the name belongs to the language: `row.line`, `row.again`, `file.time`, `previous.…`."""
    return name in (LINE, AGAIN, FILE_TIME) or name.startswith(_PREVIOUS)


class Template:
    """A parsed template: `literals` around its `tokens` (name, of the previous row?), whether it `is_single`, one token and nothing
    else; the `columns` it reads, those of the `previous` row, and whether it names the row's place.
    """

    def __init__(self, text: str) -> None:
        rest = _TOKEN.sub("", text)
        if "{" in rest or "}" in rest:
            raise TemplateError("a brace without its partner: columns are written {column}")
        pieces = _TOKEN.split(text)
        self.literals = pieces[::2]
        self.tokens = [_token(name) for name in pieces[1::2]]
        self.is_single = len(self.tokens) == 1 and not any(self.literals)
        self.columns = [name for name, _ in self.tokens if not is_builtin(name)]
        self.single_column = self.columns[0] if self.is_single and self.columns else None
        self.previous = [name for name, previous in self.tokens if previous]
        self.names_place = any(name in (LINE, AGAIN) for name, _ in self.tokens)

    def render(self, lookup: Lookup) -> Cell | None:
        """Return the text with every token replaced, or None where one of them has nothing to say."""
        found = []
        for name, previous in self.tokens:
            value = lookup(name, previous)
            if value is None:
                return None
            found.append(value)
        if self.is_single:
            return found[0]
        pieces = [self.literals[0]]
        for value, literal in zip(found, self.literals[1:], strict=True):
            pieces += (str(value), literal)
        return "".join(pieces)


def _token(name: str) -> tuple[str, bool]:
    name = name.strip()
    if name.startswith(_PREVIOUS):
        inner = name.removeprefix(_PREVIOUS)
        if is_builtin(inner):
            raise TemplateError(f"{{{name}}} has no meaning")
        return inner, True
    return name, False
