"""``python -m scripts.dashboards [--check]``: write the chart's dashboards, or say which are not current."""

import json
import sys
from pathlib import Path

from scripts.dashboards import api, autoscaler, fleet, provider, reliability, runs
from scripts.dashboards.panels import dashboard

PLACE = Path(__file__).parents[2] / "helm" / "agentfleet" / "dashboards"


def documents() -> dict[Path, str]:
    """The text of every dashboard by its path."""
    made = {
        page.NAME: dashboard(page.NAME, page.TITLE, page.ROWS, database=page is runs)
        for page in (fleet, provider, runs, autoscaler, reliability, api)
    }
    return {PLACE / f"{name}.json": json.dumps(document, indent=1) + "\n" for name, document in made.items()}


def main() -> None:
    """Write them; with --check only compare."""
    stale = [path for path, text in documents().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        sys.exit("; ".join(f"{path.name} is not current: python -m scripts.dashboards" for path in stale))
    PLACE.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(documents()[path])
        print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
