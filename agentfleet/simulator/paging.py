"""Lists in pages, as the endpoints with `after_id`, `before_id` and `limit` give them."""

from collections.abc import Sequence

from agentfleet.simulator.wire import Json


def page(rows: Sequence[tuple[str, Json]], limit: int, after_id: str | None, before_id: str | None) -> Json:
    """One page of (id, object) rows; the cursor of a row that is gone is ignored."""
    ids = [id_ for id_, _ in rows]
    if after_id in ids:
        start = ids.index(after_id) + 1
        end = start + limit
        more = end < len(rows)
    elif before_id in ids:
        end = ids.index(before_id)
        start = max(0, end - limit)
        more = start > 0
    else:
        start, end = 0, limit
        more = end < len(rows)
    shown = rows[start:end]
    return {
        "data": [row for _, row in shown],
        "has_more": more,
        "first_id": shown[0][0] if shown else None,
        "last_id": shown[-1][0] if shown else None,
    }
