"""The model provider: requests built from pinned bundles, turns read verbatim, errors translated, cost computed.

The Anthropic SDK is imported here only, and inside functions: it costs two seconds of CPU.
"""
