"""One JSON line on stdout, for whoever started this process: from now on it serves. Logs go to stderr.

A supervisor that asks for it (``Type=notify`` of systemd) is told, too: a datagram to the socket of ``NOTIFY_SOCKET``,
see https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html.
"""

import json
import socket
import sys

from agentfleet.settings import environment


def announce(**facts: str) -> None:
    """Print ``facts``: ``url`` of what listens, ``ready`` (a name) of what does not."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
    if place := environment("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as supervisor:
            supervisor.sendto(b"READY=1", f"\0{place[1:]}" if place.startswith("@") else place)
