"""What the audit found, on one screen."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from agentfleet.client import Run

ROWS = 12
RISKS = ("high", "medium", "low")
MEGABYTE = 1024 * 1024


def print_report(console: Console, runs: Sequence[Run]) -> None:
    """The riskiest and largest distributions as a table, then the sums."""
    reports: list[dict[str, Any]] = [run.output for run in runs]
    reports.sort(key=lambda report: (RISKS.index(report["risk"]), -report["size_bytes"]))
    table = Table(
        title=f"Dependency audit of {len(reports)} distributions: the riskiest and largest", title_justify="left"
    )
    for name in ("Distribution", "Version", "License"):
        table.add_column(name, overflow="fold")
    for name in ("MB", "Files", "Needs"):
        table.add_column(name, justify="right")
    table.add_column("Risk")
    table.add_column("Why", no_wrap=True)
    for report in reports[:ROWS]:
        size, needs = f"{report['size_bytes'] / MEGABYTE:.1f}", str(len(report["requirements"]))
        facts = (report["distribution"], report["version"], report["license"] or "none", size)
        table.add_row(*facts, str(report["file_count"]), needs, report["risk"], report["why"])
    console.print()
    console.print(table)
    for line in _sums(reports, runs):
        console.print(f"  {line}", highlight=False, markup=False)


def _sums(reports: Sequence[dict[str, Any]], runs: Sequence[Run]) -> list[str]:
    risks = Counter(report["risk"] for report in reports)
    missing = [
        f"{report['distribution']} needs {', '.join(report['missing_requirements'])}"
        for report in reports
        if report["missing_requirements"]
    ]
    unlicensed = [report["distribution"] for report in reports if not report["license"]]
    tokens = sum(run.usage.input_tokens + run.usage.output_tokens for run in runs)
    cost = sum((run.usage.cost_usd for run in runs), Decimal(0))
    files = sum(report["file_count"] for report in reports)
    megabytes = sum(report["size_bytes"] for report in reports) / MEGABYTE
    return [
        "Risk:    " + ", ".join(f"{risks[risk]} {risk}" for risk in RISKS),
        f"Size:    {megabytes:.0f} MB in {files} files",
        f"Missing: {'; '.join(missing) or 'nothing'}",
        f"Without a license: {', '.join(unlicensed) or 'none'}",
        f"Cost:    ${cost:.4f} for {tokens} tokens, at Claude's list prices",
    ]
