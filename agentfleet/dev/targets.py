"""Where Prometheus finds the processes of a stack: a file for its `file_sd_configs`, read whenever it changes."""

import json
from collections.abc import Iterable
from pathlib import Path

from agentfleet.dev.process import Process

FILE = "prometheus.json"


def save_targets(data_dir: Path, processes: Iterable[Process]) -> Path:
    """Name every process that serves metrics, labelled with its kind as `process`; where it is written."""
    groups = [
        {"targets": [f"127.0.0.1:{process.metrics_port}"], "labels": {"process": process.program.kind}}
        for process in processes
        if process.metrics_port is not None
    ]
    path, new = data_dir / FILE, data_dir / f"{FILE}.new"
    new.write_text(json.dumps(groups, indent=1) + "\n")
    return new.replace(path)
