"""Stores that speak HTTP and fail, each in its way."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

ANSWERS: Final = {
    "refuses": (503, "SlowDown", "Please reduce your request rate."),
    "is full": (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."),
    "has no such bucket": (404, "NoSuchBucket", "The specified bucket does not exist"),
    "denies": (403, "AccessDenied", "Access Denied"),
}


class Store:
    """An S3 endpoint in a bad ``mood``, on loopback, while the block runs."""

    def __init__(self, mood: str) -> None:
        self.mood, self.release = mood, threading.Event()
        store = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                mood, length = store.mood, int(self.headers.get("Content-Length") or 0)
                if mood == "resets":
                    self.connection.close()
                    return
                self.rfile.read(length)
                if mood == "hangs":
                    store.release.wait(20)
                elif mood == "loses half" and self.command == "PUT":
                    self.say(200)
                elif mood == "loses half" and self.path.count("/") > 1:
                    self.say(200, length=7)
                else:
                    status, code, text = ANSWERS.get(mood, ANSWERS["refuses"])
                    body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>".encode()
                    self.say(status, b"" if self.command == "HEAD" else body)

            def say(self, status: int, body: bytes = b"", *, length: int | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = answer  # noqa: N815  # the standard library's names

            def log_message(self, *args: Any) -> None:
                """Quietly."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
