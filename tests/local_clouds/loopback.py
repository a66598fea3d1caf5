"""What the stand-ins for HTTP(S) services share: a threaded server on 127.0.0.1 that stops completely."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"


class _Server(ThreadingHTTPServer):
    """A threaded server that knows its open connections, so that stopping also ends the idle ones."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        self._tls = tls
        super().__init__((LOOPBACK, port), handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        # The handshake waits for the first read, in the connection's thread: a silent client stops nobody.
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that hang up: tests make them do so."""

    def hang_up(self) -> None:
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                # Below TLS, whose own shutdown would pull the session away under the reading thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class LoopbackServer:
    """A context manager around one server thread; subclasses give the request handler.

    Args:
        tls: Certificate and key to serve https with; None for plain http.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The request handler class, bound to this server."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Base URL; the server must be running."""
        if self._server is None:
            raise RuntimeError("the server is not running: use it in a with statement")
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{LOOPBACK}:{self._server.server_address[1]}"

    def start(self, port: int = 0) -> None:
        """Bind a port, by default a free one, and serve in the background."""
        self._server = _Server(self.handler(), port, self._tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, end every open connection and free the port."""
        if self._server is None or self._thread is None:
            return
        with contextlib.suppress(OSError):
            # Wakes the serving thread, which would notice its end at the next poll only.
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        self._server = self._thread = None

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections for a while; the port stays this server's."""
        if self._server is None:
            raise RuntimeError("the server is not running: use it in a with statement")
        port = self._server.server_address[1]
        self.stop()
        with socket.socket() as holder:
            # Bound but not listening: nobody else gets the port, and who connects is refused.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((LOOPBACK, port))
            yield
            self.start(port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class QuietHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept-alive connections, no access log, and ways to break a connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes; without this Nagle and delayed ACK cost 40 ms a request.
    disable_nagle_algorithm = True

    def log_message(self, *_args: Any) -> None:
        """Keep stderr clean."""

    def reset_connection(self) -> None:
        """End the connection with a TCP reset: the client sees `Connection reset by peer`."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        # The reading file holds the socket too, and the reset goes out when the last holder lets go.
        self.rfile.close()
        self.connection.close()

    def send_whole(
        self, status: int, headers: dict[str, str], body: bytes, *, keep: int | None = None
    ) -> None:
        """Send one answer; with `keep`, announce the whole length but end after so many bytes of the body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if keep is None else body[:keep])
        if keep is not None:
            self.close_connection = True
