"""An S3-compatible store, through boto3: AWS, MinIO, Ceph, R2, GCS with HMAC keys. Credentials come as boto3 finds
them: environment, files, the role of the pod or the machine.

An object counts as stored when the store has checked its MD5 on arrival, and afterwards tells its full length and its
SHA-256, which travels with it. Every call ends: a store that hangs is a store that fails.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from agentfleet.domain.errors import ArchiveFailed, InvalidInput

CONNECT_TIMEOUT: Final = 5
READ_TIMEOUT: Final = 15
"""Seconds: of silence, not of the whole transfer."""
TRIES: Final = 2
"""Of one call; the pruner comes back by itself."""
SHA256: Final = "agentfleet-sha256"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, and what every key in it begins with: nothing, or a path that ends with a slash."""

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, field: str, url: str) -> "Place":
        """``s3://bucket`` or ``s3://bucket/path``; raises ``InvalidInput``."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise InvalidInput(field, f"{url!r} is not s3://bucket or s3://bucket/path")
        path = parts.path.strip("/")
        return cls(parts.netloc, f"{path}/" if path else "")

    def url(self, key: str = "") -> str:
        """As humans write it."""
        return f"s3://{self.bucket}/{self.prefix}{key}".removesuffix("/")

    def key(self, url: str) -> str | None:
        """The key under the prefix that ``url`` names; ``None``: it is somewhere else."""
        start = f"s3://{self.bucket}/{self.prefix}"
        return url.removeprefix(start) if url.startswith(start) else None


@dataclass(frozen=True, slots=True)
class S3Archive:
    """Objects in one place. ``encryption``: arguments of every put, such as ``ServerSideEncryption``."""

    place: Place
    connect: Callable[[], Any]
    encryption: Mapping[str, str]

    @property
    def name(self) -> str:
        """``s3://bucket/prefix``."""
        return self.place.url()

    async def put(self, key: str, body: bytes) -> str:
        """Store an object, make sure that it is there as a whole, and say where; raises ``ArchiveFailed``."""
        await self._do(lambda client: self._put(client, self.place.prefix + key, body))
        return self.place.url(key)

    async def get(self, key: str) -> bytes:
        """An object; raises ``ArchiveFailed``."""
        where = {"Bucket": self.place.bucket, "Key": self.place.prefix + key}
        return await self._do(lambda client: client.get_object(**where)["Body"].read())

    async def keys(self, prefix: str) -> list[str]:
        """What is stored under keys that begin so, in their order; raises ``ArchiveFailed``."""
        return await self._do(lambda client: self._keys(client, self.place.prefix + prefix))

    async def check(self) -> None:
        """Make sure that the bucket is there and lets us in; raises ``ArchiveFailed``."""
        await self._do(lambda client: client.head_bucket(Bucket=self.place.bucket))

    def _put(self, client: Any, key: str, body: bytes) -> None:
        where, digest = {"Bucket": self.place.bucket, "Key": key}, hashlib.sha256(body).hexdigest()
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        client.put_object(
            **where,
            Body=body,
            ContentMD5=md5,
            ContentType="application/gzip",
            Metadata={SHA256: digest},
            **self.encryption,
        )
        there = client.head_object(**where)
        if (there["ContentLength"], there.get("Metadata", {}).get(SHA256)) != (len(body), digest):
            raise ArchiveFailed(f"{key} was accepted, but is not there as it was sent")

    def _keys(self, client: Any, prefix: str) -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=prefix)
        found: list[str] = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return [key.removeprefix(self.place.prefix) for key in found]

    async def _do(self, work: Callable[[Any], T]) -> T:
        errors: Any = import_module("botocore.exceptions")
        try:
            return await asyncio.to_thread(lambda: work(self.connect()))
        except (errors.BotoCoreError, errors.ClientError, ValueError) as error:  # ValueError: an endpoint that is none
            raise ArchiveFailed(" ".join(str(error).split())[:300]) from error  # its messages name no secrets


def make_archive(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    path_style: bool = False,
    encryption: str | None = None,
) -> S3Archive:
    """The archive at ``s3://bucket/path``. ``encryption``: ``AES256``, ``aws:kms``, or ``aws:kms:`` and a key's id.

    Raises ``InvalidInput`` for a URL that is none, and when boto3 is not installed.
    """
    place = Place.parse("AGENTFLEET_ARCHIVE", url)
    if find_spec("boto3") is None:
        raise InvalidInput("AGENTFLEET_ARCHIVE", "needs boto3: pip install 'agentfleet[archive]'")
    connect = cache(partial(_client, endpoint_url, region, "path" if path_style else "auto"))
    return S3Archive(place, connect, _encrypted(encryption))


def _client(endpoint_url: str | None, region: str | None, addressing_style: str) -> Any:
    """boto3's; making one takes a while, and reads files."""
    boto3: Any = import_module("boto3")
    config: Any = import_module("botocore.config")
    options = config.Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
        s3={"addressing_style": addressing_style},
        # Only what the protocol demands: stores that are not AWS do not know the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", config=options, endpoint_url=endpoint_url, region_name=region)


def _encrypted(how: str | None) -> dict[str, str]:
    if how is None:
        return {}
    kms, _, key_id = how.partition("aws:kms:")
    if not kms and key_id:
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id}
    return {"ServerSideEncryption": how}
