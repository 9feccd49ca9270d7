"""Where runs go before they are deleted: any store that speaks S3."""

from agentfleet.archive.s3 import Place, S3Archive, make_archive

__all__ = ["Place", "S3Archive", "make_archive"]
