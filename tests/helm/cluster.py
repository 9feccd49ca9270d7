"""What an API server keeps, and what it takes its objects to have become.

Jobs, Pods and Deployments are what they should become as soon as they are written; Jobs and Pods fail while ``failing``
is set. ``log`` has every write in its order: (verb, kind, name).
"""

import threading
from typing import Any

Object = dict[str, Any]


class Cluster:
    """What was written, by (plural, name), and in which order."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.log: list[tuple[str, str, str]] = []
        self.events: list[tuple[str, Object]] = []
        self.changed = threading.Condition()
        self.failing = False
        self.open = True
        self.url = ""

    @property
    def version(self) -> str:
        """As many as there were events: from where a watch goes on."""
        return str(len(self.events))

    def write(self, verb: str, plural: str, given: Object) -> Object:
        """Keep it, as what it becomes."""
        meta = given["metadata"]
        meta |= {
            "uid": meta.get("uid", f"uid-{self.version}"),
            "resourceVersion": str(len(self.events) + 1),
            "generation": 1,
        }
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        given["status"] = self._status(given)
        self.objects[plural, meta["name"]] = given
        self.tell(verb, "ADDED" if verb == "create" else "MODIFIED", given)
        return given

    def delete(self, plural: str, name: str) -> bool:
        """Whether it was there."""
        if (gone := self.objects.pop((plural, name), None)) is not None:
            self.tell("delete", "DELETED", gone)
        return gone is not None

    def tell(self, verb: str, event: str, one: Object) -> None:
        """Log it, and wake who watches."""
        with self.changed:
            self.log.append((verb, one["kind"], one["metadata"]["name"]))
            self.events.append((event, one))
            self.changed.notify_all()

    def _status(self, given: Object) -> Object:
        match given["kind"]:
            case "Job" if self.failing:
                return {
                    "failed": 1,
                    "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}],
                }
            case "Job":
                return {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
            case "Pod":
                return {"phase": "Failed" if self.failing else "Succeeded"}
            case "Deployment":
                wanted = given["spec"].setdefault("replicas", 1)
                counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wanted)
                return {**counts, "observedGeneration": 1, "conditions": [{"type": "Available", "status": "True"}]}
            case _:
                return {}


def merged(old: Any, patch: Any) -> Any:
    """A merge patch; lists of named items, as strategic patches send them, are merged by name."""
    if isinstance(old, dict) and isinstance(patch, dict):
        result = {key: value for key, value in old.items() if key not in patch or patch[key] is not None}
        changed = {key: value for key, value in patch.items() if value is not None and not key.startswith("$")}
        return result | {key: merged(old.get(key), value) for key, value in changed.items()}
    if (
        isinstance(old, list)
        and isinstance(patch, list)
        and all(isinstance(one, dict) and "name" in one for one in [*old, *patch])
    ):
        gone = {one["name"] for one in patch if one.get("$patch") == "delete"}
        items = {one["name"]: one for one in old}
        items |= {one["name"]: merged(items.get(one["name"]), one) for one in patch}
        return [one for name, one in items.items() if name not in gone]
    return patch
