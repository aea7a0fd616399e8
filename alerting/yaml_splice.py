"""Edits of a YAML text that leave every other character as it was: comments, order, quotes, blank lines.

The theory. The text is parsed for its marks alone; an edit cuts or inserts at a mark, by whole lines in block style. (A
round-trip library ties a comment to the value *before* it: taking an entry out takes the next one's comment along.)
What comes out is parsed again by whoever asked, who compares it with what was meant: a text of a form not foreseen here
is refused then, never written wrong.

Comment lines directly above an item, at its own indentation, belong to it; so do those below it that are indented deeper.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

Path = tuple[str | int, ...]

_BLANK = " \t\r\n"  # YAML's own; other white space, such as U+00A0, is text
_COMMENT = re.compile(r"( *)#[^\n]*")


def flow(value: Any) -> str:
    """Return a value in YAML's flow style on one line, quoted where it would be read as something else."""
    dumped: str = yaml.safe_dump(
        [value], default_flow_style=True, allow_unicode=True, width=float("inf"), sort_keys=False
    )
    return dumped.strip(_BLANK)[1:-1]


def block(fields: Mapping[str, Any], indent: int) -> str:
    """Return a mapping as the lines of a sequence's item whose dash stands at `indent`."""
    lines = [f"{flow(key)}: {flow(value)}" for key, value in fields.items()]
    return "".join(f"{' ' * indent}{'  ' if number else '- '}{line}\n" for number, line in enumerate(lines))


class YamlText:
    """A text and its edits. An edit of a place that is not there raises LookupError; none checks what comes out."""

    def __init__(self, text: str) -> None:
        self.text = text if text.endswith("\n") else text + "\n"
        self._root = self._composed()

    def set(self, at: Path, key: str, value: Any, after: str | None = None) -> None:
        """Set a mapping's key: in its place where it has one, else as a new one behind `after` or at the end."""
        node = self._node(at)
        for key_node, value_node in node.value:
            if key_node.value == key:
                start, end = value_node.start_mark.index, self._end(value_node)
                gap = " " if self.text[start - 1] == ":" else ""
                return self._splice(start, max(start, end), gap + flow(value))
        names = [key_node.value for key_node, _ in node.value]
        behind = node.value[names.index(after) if after in names else -1]
        if node.flow_style:
            end = self._end(behind[1])
            return self._splice(end, end, f", {flow(key)}: {flow(value)}")
        end = self._line_end(self._end(behind[1]))
        if not at and behind is node.value[-1]:
            end = len(self.text)  # below the comments that the file ends with
        return self._splice(end, end, f"{' ' * node.start_mark.column}{flow(key)}: {flow(value)}\n")

    def append(self, at: Path, value: Any) -> None:
        """Put an item at the end of a sequence."""
        node, key = self._node(at), self._key(at)
        if node.flow_style:
            start, end = node.start_mark.index, node.end_mark.index
            if node.value:
                end = self._end(node.value[-1])
                return self._splice(end, end, f", {flow(value)}")
            if self._parent(at).flow_style or "\n" in self.text[start:end] or not isinstance(value, Mapping):
                return self._splice(start + 1, start + 1, flow(value))
            line_end = self._line_end(end)
            kept = f"{self.text[:start].rstrip(' ')}{self.text[end:line_end].rstrip(_BLANK)}\n"
            self._become(kept + block(value, key.start_mark.column + 2) + self.text[line_end:])
            return None
        column = node.start_mark.column
        end = self._past_comments(self._line_end(self._end(node.value[-1])), column)
        lines = block(value, column) if isinstance(value, Mapping) else f"{' ' * column}- {flow(value)}\n"
        return self._splice(end, end, lines)

    def delete(self, at: Path, index: int) -> None:
        """Take an item out of a sequence, with the comments that belong to it."""
        node = self._node(at)
        if node.flow_style:
            return self._delete_flow(node, index)
        column, item = node.start_mark.column, node.value[index]
        start = self.text.rfind(f"\n{' ' * column}-", 0, item.start_mark.index + 1) + 1
        end = self._past_comments(self._line_end(self._end(item)), column)
        while (above := self._line_start(start - 1)) < start and self._is_comment(above, column):
            start = above
        blank_above = self._is_blank(self._line_start(start - 1))
        if self._is_blank(end) and (blank_above or index == 0):
            end = self._line_end(end)
        elif blank_above and end == len(self.text):
            start = self._line_start(start - 1)
        if len(node.value) > 1:
            return self._splice(start, end, "")
        colon = self.text.index(":", self._key(at).end_mark.index) + 1
        return self._become(f"{self.text[:colon]} []{self.text[colon:start]}{self.text[end:]}")

    def _delete_flow(self, node: Any, index: int) -> None:
        items = node.value
        if index + 1 < len(items):
            return self._splice(items[index].start_mark.index, items[index + 1].start_mark.index, "")
        start = self._end(items[index - 1]) if index else node.start_mark.index + 1
        return self._splice(start, self._end(items[index]), "")

    def _splice(self, start: int, end: int, new: str) -> None:
        self._become(self.text[:start] + new + self.text[end:])

    def _become(self, text: str) -> None:
        self.text = text
        self._root = self._composed()

    def _composed(self) -> Any:
        # The loader in Python, whose marks count characters; the one in C counts otherwise after a byte order mark.
        return yaml.compose(self.text, Loader=yaml.SafeLoader)

    def _node(self, at: Path) -> Any:
        node = self._root
        for part in at:
            node = node.value[part] if isinstance(part, int) else self._pair(node, part)[1]
        return node

    def _parent(self, at: Path) -> Any:
        return self._node(at[:-1])

    def _key(self, at: Path) -> Any:
        return self._pair(self._parent(at), at[-1])[0]

    @staticmethod
    def _pair(node: Any, key: str | int) -> Any:
        for pair in node.value:
            if pair[0].value == key:
                return pair
        raise LookupError(key)

    def _end(self, node: Any) -> int:
        """Return where the node's last character ends; a block's own mark lies behind the comments that follow it."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        return len(self.text[: node.end_mark.index].rstrip(_BLANK))

    def _line_end(self, index: int) -> int:
        return self.text.index("\n", index) + 1

    def _line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, max(index, 0)) + 1

    def _past_comments(self, index: int, column: int) -> int:
        while (found := _COMMENT.match(self.text, index)) and len(found[1]) > column:
            index = self._line_end(index)
        return index

    def _is_comment(self, index: int, column: int) -> bool:
        found = _COMMENT.match(self.text, index)
        return found is not None and len(found[1]) == column

    def _is_blank(self, index: int) -> bool:
        return index < len(self.text) and not self.text[index : self._line_end(index)].strip(_BLANK)
