"""The web pages that the ingress serves to people: files without a build step, which read the HTTP API."""
