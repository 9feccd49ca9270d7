"""Write what the chart repeats: its README's table of values, and the settings in values.schema.json.

Usage: python -m scripts.generate_chart [--check]
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from agentfleet.settings import Settings

CHART = Path(__file__).parent.parent / "helm" / "agentfleet"
BEGIN, END = "<!-- values -->", "<!-- /values -->"

OWN = frozenset(
    {
        *("agents", "accounts", "database_direct_url", "database_url", "drain", "host", "metrics_port", "pool", "port"),
        *("provider_base_url", "redis_prefix", "redis_url", "release", "scale_max_workers"),
        *("scale_min_workers", "scale_pools", "tracing", "worker_capacity"),
    }
)
"""Settings that a value of their own decides, or that must be what Services and probes expect."""
REFUSED = frozenset({"failpoint", "flower_open"})
"""Settings that have no place in a cluster."""


MODES: tuple[Literal["validation"], Literal["serialization"]] = ("validation", "serialization")


def main(arguments: Sequence[str], chart: Path = CHART) -> int:
    """Write what has changed, or with ``--check`` name it and return 1."""
    if set(arguments) - {"--check"}:
        print(__doc__)
        return 2
    values, readme, schema = (chart / name for name in ("values.yaml", "README.md", "values.schema.json"))
    pages = {
        readme: with_table(readme.read_text(encoding="utf-8"), values.read_text(encoding="utf-8")),
        schema: with_settings(schema.read_text(encoding="utf-8")),
    }
    stale = [path for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    for path in stale:
        if arguments:
            print(f"{path.name} of the chart is stale: run `python -m scripts.generate_chart` and commit it")
        else:
            path.write_text(pages[path], encoding="utf-8")
            print(f"{path.name} of the chart written")
    return 1 if arguments and stale else 0


def with_table(readme: str, values: str) -> str:
    """The README with a row for every value that has a ``# --`` comment."""
    head, rest = readme.split(BEGIN)
    rows = ["| Value | Default | Meaning |", "| --- | --- | --- |"]
    rows += [f"| `{path}` | {default} | {meaning} |" for path, default, meaning in documented(values)]
    return f"{head}{BEGIN}\n" + "\n".join(rows) + f"\n{END}{rest.split(END)[1]}"


def documented(values: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and comment of every documented line of a values file, which is indented by two."""
    path: list[str] = []
    for line in values.splitlines():
        match = re.match(r"^( *)([A-Za-z][\w-]*):(.*?)(?:\s+# -- (.*))?$", line)
        if match is None:
            continue
        indent, key, default, meaning = match.groups()
        path = [*path[: len(indent) // 2], key]
        if meaning:
            shown = f"`{default.strip()}`" if default.strip() else "below"
            yield ".".join(path), shown.replace("|", "\\|"), meaning.replace("|", "\\|")


def with_settings(schema: str) -> str:
    """The schema with every setting that ``settings`` may hold, as the code checks it."""
    document = json.loads(schema)
    document["$defs"]["settings"]["properties"] = dict(allowed())
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def allowed() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Variable → its schema. Neither what the chart sets itself nor secrets: those come from Secrets."""
    read, told = (Settings.model_json_schema(by_alias=False, mode=mode)["properties"] for mode in MODES)
    for name, given in read.items():
        kinds = [kind for kind in given.get("anyOf", [given]) if kind.get("type") != "null"]
        if name in OWN | REFUSED or any(kind.get("format") == "password" for kind in kinds):
            continue
        dropped = {"title", "default", "description", "anyOf"}
        kind = {key: value for key, value in kinds[0].items() if key not in dropped}
        if kind["type"] == "number" and "string" in json.dumps(told[name]):
            kind["type"] = ["number", "string"]  # a duration, such as 90d
        yield f"AGENTFLEET_{name.upper()}", {"description": given["description"], **kind}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
