-- An unreadable or foreign message on our queue: kept raw, acknowledged. Called by engine.bury.
INSERT INTO dead_letters (id, verdict, error, raw) VALUES (%(id)s, 'permanent', %(error)s, %(raw)s)
