"""Writes docs/openapi.json from the routes: `python -m console.api.openapi`. A test fails where the copy is not current."""

import json
from pathlib import Path

from console.api.app import create_app

PAGE = Path(__file__).parent.parent.parent / "docs" / "openapi.json"


def openapi_text() -> str:
    """Return the document as it is written to the file."""
    return json.dumps(create_app().openapi(), ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(openapi_text(), encoding="utf-8")
