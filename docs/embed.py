"""Shows the receivers of docs/receivers in the pages for integrators: `python -m docs.embed`. A test fails where a copy is not current."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = (DOCS / "receiving.md", DOCS / "receiving.zh-CN.md")
LANGUAGES = {".py": "python", ".mjs": "javascript", ".java": "java"}
FILES = tuple(sorted(path for path in (DOCS / "receivers").iterdir() if path.suffix in LANGUAGES))

_BLOCK = re.compile(r"<!-- file: (?P<name>\S+) -->\n.*?<!-- end of file -->", re.DOTALL)


def refreshed(text: str) -> str:
    """Return a page with each block between `<!-- file: NAME -->` and `<!-- end of file -->` as the file is now. Raises
    OSError where there is no such file, ValueError where it could not be told from the page.
    """
    return _BLOCK.sub(lambda found: _block(found["name"]), text)


def _block(name: str) -> str:
    path = DOCS / name
    code = path.read_text(encoding="utf-8")
    if "```" in code or not code.endswith("\n"):
        raise ValueError(f"{name}: it holds the end of a code block, or its last line has none")
    return f"<!-- file: {name} -->\n```{LANGUAGES[path.suffix]}\n{code}```\n<!-- end of file -->"


def main() -> None:
    """Refresh the pages."""
    for page in PAGES:
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
