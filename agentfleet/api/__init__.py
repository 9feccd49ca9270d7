"""The HTTP API: runs in, answers out. Strict about what it accepts, plain about what went wrong."""
