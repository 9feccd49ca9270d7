"""One JSON line on stdout, for whoever started this process: from now on it serves. Logs go to stderr."""

import json
import sys


def announce(**facts: str) -> None:
    """Print ``facts``: ``url`` of what listens, ``ready`` (a name) of what does not."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
