"""The sink: takes results in microseconds, and leaves the rest to the server's thread."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket

from edgecap.errors import SinkError
from edgecap.notices import Notice
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.web.access import Access
from edgecap.sinks.web.pictures import Pictures
from edgecap.sinks.web.server import Server

_log = logging.getLogger(__name__)

_BACKLOG, _LAST_PORT = 64, 65535
# What the system keeps for a viewer who does not read; it would be megabytes.
_SEND_BYTES = 128 * 1024
# Of the range for documentation: nothing is sent, the system only says which way it would go.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


class WebPage(Sink):
    """A web page with live pictures, probabilities over time, events and health.

    The port is taken here, and answered from :meth:`begin` to :meth:`close`. ``write`` and
    ``notice`` only put things into bounded rings: no viewer can keep them waiting.

    Args:
      host: address to listen on: ``127.0.0.1`` for this machine only, ``0.0.0.0`` for all.
      port: 0 for any that is free.
      token: that viewers must show; ``None``: none on a loopback address, and a random one
        elsewhere.

    Attributes:
      host, port: where it listens; the port as the system gave it.
      token: what viewers must show, or ``None``.
      url: for a browser, the token included.

    Raises:
      SinkError: the address or the port cannot be had.
      ConfigError: the token is too short or does not fit an address.
      MissingDependencyError: OpenCV, which makes the pictures, is not installed.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8080, *, token: str | None = None
    ) -> None:
        self._pictures = Pictures()
        self._server: Server | None = None
        self.host = host
        self._listener = _listen(host, port)
        try:
            address = self._listener.getsockname()
            self.port = int(address[1])
            ip = ipaddress.ip_address(address[0].partition("%")[0])
            self._access = Access(host, self.port, loopback=ip.is_loopback, token=token)
        except BaseException:
            self.close()
            raise
        self.token = self._access.token
        shown = _reachable(self._listener.family) if ip.is_unspecified else host.strip("[]")
        shown = f"[{shown}]" if ":" in shown else shown
        query = f"?token={self.token}" if self.token else ""
        self.url = f"http://{shown}:{self.port}/{query}"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return 0 if self._server is None else self._server.connections

    def begin(self, run: RunInfo) -> None:
        self._server = Server(self._listener, self._access, self._pictures, run)
        self._server.start()
        _log.info("the web page: %s", self.url)

    def write(self, result: Result) -> None:
        assert self._server is not None, "begin() comes first"
        self._server.board.write(result)

    def notice(self, notice: Notice) -> None:
        if self._server is not None:
            self._server.board.notice(notice)

    def close(self) -> None:
        """Ends all connections and both threads; frees the port. May be called twice."""
        if self._server is not None:
            self._server.stop()
        self._listener.close()
        self._pictures.close()


def _listen(host: str, port: int) -> socket.socket:
    where = f"{host}:{port}"
    if not 0 <= port <= _LAST_PORT:
        raise SinkError(
            f"cannot serve the web page on {where}: expected a port of 0 to {_LAST_PORT}"
        )
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise SinkError(
            f"cannot serve the web page on {where}: expected an address of this machine; {error}"
        ) from error
    # A name such as localhost may have both: whoever types 127.0.0.1 means the first.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A restart takes the port back at once; elsewhere this would let others take it too.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        hint = "; another program has this port: stop it, or choose another port" if taken else ""
        raise SinkError(f"cannot serve the web page on {where}: {error.strerror}{hint}") from error
    return listener


def _reachable(family: int) -> str:
    """This machine's address as others on its network see it, as far as it is known."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE[socket.AddressFamily(family)], 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
