"""Writes the dashboards of deploy/grafana/dashboards: `python -m deploy.grafana.generate`. A test fails where a copy is not current."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.delivery import delivery
from deploy.grafana.service import service
from deploy.grafana.supervision import supervision

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """Return every dashboard's JSON by its file's name."""
    made = {"service": service(), "supervision": supervision(), "delivery": delivery()}
    encoder = JSONEncoder(ensure_ascii=False, indent=2, sort_keys=True)
    return {f"{name}.json": encoder.encode(one.build()) + "\n" for name, one in made.items()}


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
