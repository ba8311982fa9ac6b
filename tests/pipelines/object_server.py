"""An object server on loopback: moto's S3, with a log of what was served and faults on demand.

`ObjectServer.fault` is asked about every request before it is answered: it returns a status to refuse it with, bytes to
answer it with, "cut" to break the connection in the middle of the answer, or None.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
REASONS = {200: ("OK", ""), 503: ("Service Unavailable", "ServiceUnavailable"), 403: ("Forbidden", "AccessDenied")}


@dataclass
class Request:
    """One request; `served` counts the bytes of the answer's body."""

    method: str
    path: str
    query: str
    range: str
    served: int = 0
    status: int = 0


def _backend() -> Any:
    from moto.s3.models import s3_backends

    return s3_backends["123456789012"]["aws"]  # the account of every request that names no other


class ObjectServer:
    """moto behind a middleware, in a thread."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, type: str, message: str, *args: Any) -> None:
                pass

        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.log: list[Request] = []
        self.fault: Callable[[Request], int | str | bytes | None] = lambda request: None
        self.latency = 0.0
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            environ.get("HTTP_RANGE", ""),
        )
        self.log.append(request)
        if self.latency:
            time.sleep(self.latency)
        fault = self.fault(request)
        if isinstance(fault, (int, bytes)):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            request.status, body = (fault, refusal(fault)) if isinstance(fault, int) else (200, fault)
            body = b"" if request.method == "HEAD" else body
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            start(f"{request.status} {REASONS[request.status][0]}", headers)
            return [body]

        def started(status: str, headers: Any, *rest: Any) -> Any:
            request.status = int(status.split()[0])
            return start(status, headers, *rest)

        return self._counted(request, self._moto(environ, started), cut=fault == "cut")

    @staticmethod
    def _counted(request: Request, chunks: Iterable[bytes], *, cut: bool) -> Iterator[bytes]:
        for chunk in chunks:
            if cut:
                yield chunk[: len(chunk) // 2]
                raise ConnectionAbortedError("cut on demand")
            request.served += len(chunk)
            yield chunk

    def served(self, *, method: str = "GET", ends: str = "") -> int:
        """Bytes of all answers to requests of the method for keys with the ending."""
        return sum(r.served for r in self.log if r.method == method and r.path.endswith(ends))

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Every object of a bucket, as the server keeps it."""
        backend = _backend()
        return {name: key.value for name, key in backend.buckets[bucket].keys.items()}

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """An object, past the log and the faults."""
        backend = _backend()
        if bucket not in backend.buckets:
            backend.create_bucket(bucket, "us-east-1")
        backend.put_object(bucket, name, data)

    def uploads(self, bucket: str) -> list[str]:
        """Keys of the uploads in parts that are neither completed nor aborted."""
        backend = _backend()
        return [upload.key_name for upload in backend.buckets[bucket].multiparts.values()]

    def reset(self) -> None:
        """Forget everything."""
        _backend().reset()
        self.log.clear()
        self.fault, self.latency = (lambda request: None), 0.0

    def stop(self) -> None:
        """End the thread."""
        self._server.shutdown()
        self._server.server_close()


def refusal(status: int) -> bytes:
    """The text of an answer that refuses."""
    reason, code = REASONS[status]
    return f"<Error><Code>{code}</Code><Message>{escape(reason)}</Message></Error>".encode()


def serve(monkeypatch: Any, server: ObjectServer) -> Iterator[ObjectServer]:
    """The server, empty, with the environment that leads to it."""
    from s3fs import S3FileSystem

    server.reset()
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server.endpoint}.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    yield server
    S3FileSystem.clear_instance_cache()
