"""One verb per file: what happens to runs and steps. Knows the domain, the store and its ports; knows no vendor."""
