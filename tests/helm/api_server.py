"""As much of a Kubernetes API server as Helm and kubectl need: discovery, CRUD, watch, an empty OpenAPI.

It runs nothing: ``Cluster`` says what becomes of what is written.
"""

import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.helm.cluster import Cluster, Object, merged

KINDS = {
    "v1": [
        "ConfigMap",
        "Event",
        "Namespace",
        "Node",
        "PersistentVolumeClaim",
        "Pod",
        "Secret",
        "Service",
        "ServiceAccount",
    ],
    "apps/v1": ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "batch/v1": ["Job"],
    "keda.sh/v1alpha1": ["ScaledObject", "TriggerAuthentication"],
    "monitoring.coreos.com/v1": ["PodMonitor", "PrometheusRule", "ServiceMonitor"],
    "networking.k8s.io/v1": ["Ingress", "NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
}
PLURALS = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}
SERVED = {PLURALS.get(kind, f"{kind.lower()}s"): kind for kinds in KINDS.values() for kind in kinds}
PATH = re.compile(
    r"/(?:api|apis)/(?P<version>v1|[^/]+/[^/]+)/(?:namespaces/(?P<space>[^/]+)/)?(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?$"
)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cluster: Cluster

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if (found := discovery(url.path)) is not None:
            self._answer(found)
        elif url.path.startswith("/openapi/v2"):
            self._answer(b"", kind="application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        elif (match := PATH.match(url.path)) is None or match["plural"] not in SERVED:
            self._missing(url.path)
        elif match["name"]:
            self._answer_object(match["plural"], match["name"])
        elif query.get("watch") in {"true", "1"}:
            self._watch(match["plural"], query | {"of": match["version"]})
        else:
            items = self._selected(match["plural"], query)
            self._answer(
                {
                    "kind": f"{SERVED[match['plural']]}List",
                    "apiVersion": match["version"],
                    "metadata": {"resourceVersion": self.cluster.version},
                    "items": items,
                }
            )

    def do_POST(self) -> None:
        match, given = PATH.match(urlsplit(self.path).path), self._body()
        assert match, self.path
        if (match["plural"], given["metadata"]["name"]) in self.cluster.objects:
            self._answer(
                {
                    "kind": "Status",
                    "status": "Failure",
                    "reason": "AlreadyExists",
                    "code": 409,
                    "message": f"{given['metadata']['name']} already exists",
                },
                409,
            )
        else:
            given["metadata"].setdefault("namespace", match["space"])
            self._answer(self.cluster.write("create", match["plural"], given), 201)

    def do_PATCH(self) -> None:
        match = PATH.match(urlsplit(self.path).path)
        assert match, self.path
        old = self.cluster.objects[match["plural"], match["name"]]
        self._answer(self.cluster.write("patch", match["plural"], merged(old, self._body())))

    def do_PUT(self) -> None:
        match = PATH.match(urlsplit(self.path).path)
        assert match, self.path
        self._answer(self.cluster.write("patch", match["plural"], self._body()))

    def do_DELETE(self) -> None:
        match = PATH.match(urlsplit(self.path).path)
        assert match, self.path
        self._body()
        if self.cluster.delete(match["plural"], match["name"]):
            self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        else:
            self._missing(match["name"])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # their name
        """Say nothing."""

    def _selected(self, plural: str, query: dict[str, str]) -> list[Object]:
        return [one for (kind, _), one in self.cluster.objects.items() if kind == plural and wanted(one, query)]

    def _watch(self, plural: str, query: dict[str, str]) -> None:
        """Every change from a version on, for as long as somebody listens; with all that is there first, if wanted."""
        kind, seen = SERVED[plural], int(query.get("resourceVersion") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if query.get("sendInitialEvents") == "true":
            seen = len(self.cluster.events)
            end = {"resourceVersion": str(seen), "annotations": {"k8s.io/initial-events-end": "true"}}
            told = [("ADDED", one) for one in self._selected(plural, query)]
            self._tell([*told, ("BOOKMARK", {"kind": kind, "apiVersion": query["of"], "metadata": end})])
        with suppress(OSError):
            while self.cluster.open:
                with self.cluster.changed:
                    while len(self.cluster.events) == seen and self.cluster.open:
                        self.cluster.changed.wait()
                    fresh, seen = self.cluster.events[seen:], len(self.cluster.events)
                self._tell([(event, one) for event, one in fresh if one["kind"] == kind and wanted(one, query)])

    def _tell(self, events: list[tuple[str, Object]]) -> None:
        for event, one in events:
            self.wfile.write(json.dumps({"type": event, "object": one}).encode() + b"\n")

    def _answer_object(self, plural: str, name: str) -> None:
        if plural == "namespaces":
            self._answer({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
        elif (found := self.cluster.objects.get((plural, name))) is None:
            self._missing(name)
        else:
            self._answer(found)

    def _missing(self, what: str) -> None:
        self._answer(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "NotFound",
                "code": 404,
                "message": f"{what} not found",
            },
            404,
        )

    def _body(self) -> Any:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return json.loads(text) if text else {}

    def _answer(self, body: Any, status: int = 200, kind: str = "application/json") -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def wanted(one: Object, query: dict[str, str]) -> bool:
    """Whether a selector of fields, of which names are enough, selects it."""
    name = re.search(r"metadata\.name=([^,]+)", query.get("fieldSelector", ""))
    return name is None or name[1] == one["metadata"]["name"]


def discovery(path: str) -> Object | None:
    """What this server serves."""
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/openapi/v3":
        return {"paths": {}}
    if path == "/apis":
        versions = [
            {"groupVersion": version, "version": version.partition("/")[2]} for version in KINDS if "/" in version
        ]
        groups = [
            {"name": one["groupVersion"].partition("/")[0], "versions": [one], "preferredVersion": one}
            for one in versions
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in KINDS:
        return None
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    resources = [
        {
            "name": plural,
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": kind not in {"Namespace", "Node"},
            "verbs": verbs,
        }
        for plural, kind in SERVED.items()
        if kind in KINDS[version]
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


@contextmanager
def served() -> Generator[Cluster]:
    """A cluster with nothing in it, on a free port."""
    cluster = Cluster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cluster": cluster}))
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield cluster
    finally:
        with cluster.changed:
            cluster.open = False
            cluster.changed.notify_all()
        server.shutdown()
        server.server_close()
        thread.join()
