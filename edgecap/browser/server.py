"""Serves a written folder to browsers, for trying it out."""

from __future__ import annotations

import errno
import http.server
import ipaddress
import socket
import threading
from pathlib import Path
from typing import Any

from edgecap.errors import SinkError

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".tflite": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
}
# As in the page itself, where another server gives none; here they hold for the worker too.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
    "worker-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=()",
    # A page that is cut off from all others is given clocks of 5 µs; one that is not, of 100 µs.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Asked for each time, so that a folder written anew is seen; the service worker keeps its own.
    "Cache-Control": "no-cache",
}


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = _KINDS
    protocol_version = "HTTP/1.1"
    timeout = 20

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        self.send_error(404, "there is nothing here")

    def log_message(self, *_: Any) -> None:
        pass


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        # A browser that has gone away in the middle of a file is no failure.
        pass


class SiteServer:
    """Serves a folder until it is closed; a context manager.

    Args:
      folder: written by :func:`edgecap.browser.write_site`.
      host: address to listen on. Beyond this machine a browser gives no camera over plain HTTP.
      port: 0 for any that is free.

    Attributes:
      url: for a browser.
      loopback: whether only this machine can see it.

    Raises:
      SinkError: the address or the port cannot be had.
    """

    def __init__(self, folder: str | Path, host: str = "127.0.0.1", port: int = 0) -> None:
        bare = host.strip("[]")

        class Listener(_Listener):
            address_family = socket.AF_INET6 if ":" in bare else socket.AF_INET

        try:
            self._server = Listener(
                (bare, port), lambda *given: _Handler(*given, directory=str(folder))
            )
        except (OSError, OverflowError) as error:
            told = getattr(error, "strerror", None) or error
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            hint = ": stop the program that has it, or choose another port" if taken else ""
            raise SinkError(f"cannot serve the page on {host}:{port}: {told}{hint}") from error
        address = self._server.server_address
        self.loopback = ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
        self.url = f"http://{host}:{address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> SiteServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
