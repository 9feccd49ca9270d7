"""The OpenAPI document without a server: ``docs/openapi.json`` is this."""

from typing import Any

from agentfleet.api.app import create_app
from agentfleet.settings import Settings


def document() -> dict[str, Any]:
    """The whole document, as ``/openapi.json`` serves it."""
    return create_app(Settings(public_docs=True)).openapi()
