-- What runs are pinned to; immutable, so callers keep them. Called by store.bundles.
SELECT id, agent, spec FROM bundles WHERE id = ANY(%(id)s)
