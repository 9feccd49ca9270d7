-- Content-addressed, so a second writer has nothing to add. Called by store.bundles.
INSERT INTO bundles (id, agent, spec) VALUES (%(id)s, %(agent)s, %(spec)s) ON CONFLICT DO NOTHING
