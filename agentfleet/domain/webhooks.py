"""Standard Webhooks, version 1: how a receiver knows who wrote and when. https://www.standardwebhooks.com"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from agentfleet.domain.errors import InvalidInput

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
"""What the specification asks for."""


def signing_key(secret: str) -> bytes:
    """The key in a secret, which is ``whsec_`` and 24 to 64 bytes as base64; raises ``InvalidInput``."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in KEY_BYTES:
        raise InvalidInput(
            "secret", "must be whsec_ and 24 to 64 bytes as base64: `echo whsec_$(openssl rand -base64 32)` makes one"
        )
    return key


def headers(key: bytes | None, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """``webhook-id``, ``webhook-timestamp`` (seconds since 1970) and, with a key, ``webhook-signature``.

    The id is the same whenever a message is sent again; the timestamp is that of the try.
    """
    found = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if key is not None:
        signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        found["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return found
