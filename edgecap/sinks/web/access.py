"""Who may see the page."""

from __future__ import annotations

import hmac
import http.cookies
import re
import secrets

from edgecap.errors import ConfigError
from edgecap.sinks.web.wire import Answer, RefusedError, Request, plain

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,256}")
_LOCAL = {"localhost", "127.0.0.1", "[::1]"}
_COOKIE_DAYS = 30


class Access:
    """Checks each request.

    On a loopback address, the ``Host`` must be a name of this machine: a web page elsewhere whose
    name was made to point here (DNS rebinding) is refused. Wherever there is a token, it must come
    with the request: in the query of the address, once, then in a cookie that no script and no
    other site can use; or as ``Authorization: Bearer``.

    Args:
      host: that the page is bound to, as the user wrote it.
      port: names the cookie, as browsers do not tell ports apart.
      loopback: whether only this machine can connect.
      token: as given by the user; ``None``: none on loopback, a random one elsewhere.

    Attributes:
      token: that is asked for, or ``None``.

    Raises:
      ConfigError: a token that is too short or does not fit an address.
    """

    def __init__(self, host: str, port: int, *, loopback: bool, token: str | None) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise ConfigError(
                "the web page's token: expected 8 to 256 letters, digits or any of - . _ ~"
                f"; got {len(token)} characters. Leave it out to have one made"
            )
        if token is None and not loopback:
            token = secrets.token_urlsafe(24)
        self.token = token
        self._cookie = f"edgecap_{port}"
        bare = host.strip("[]").lower()
        self._hosts = _LOCAL | {bare, f"[{bare}]"} if loopback else None

    def check(self, request: Request) -> Answer | None:
        """Lets a request through (``None``), or gives the answer that signs its sender in.

        Raises:
          RefusedError: it may not see the page.
        """
        self._check_host(request)
        if self.token is None:
            return None
        if "token" in request.query:
            if not self._is_token(request.query["token"]):
                raise RefusedError(401, "this is not the token of the page")
            return self._sign_in(request) if request.path == "/" else None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return None
        if self._is_token(self._from_cookie(request)):
            return None
        raise RefusedError(
            401, "this page needs its token: open the whole address that edgecap printed"
        )

    def _check_host(self, request: Request) -> None:
        if self._hosts is None:
            return
        # The port may be another one: that of a tunnel.
        name = re.sub(r":\d*$", "", request.headers.get("host", "")).lower()
        if name not in self._hosts:
            raise RefusedError(421, "this page answers to the names of its own machine only")

    def _is_token(self, given: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _from_cookie(self, request: Request) -> str:
        cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        try:
            cookies.load(request.headers.get("cookie", ""))
        except http.cookies.CookieError:
            return ""
        found = cookies.get(self._cookie)
        return found.value if found else ""

    def _sign_in(self, request: Request) -> Answer:
        """Keeps the token in a cookie, and goes on to the address without it."""
        cookie = (
            f"Set-Cookie: {self._cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/; "
            f"Max-Age={_COOKIE_DAYS * 86400}"
        )
        if request.headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return plain(303, "signed in", cookie, "Location: ./")
        # A link on another site brought the viewer here. A strict cookie would not go along with
        # a redirect then, but does with an address that this page opens.
        return plain(200, "signed in", cookie, "Refresh: 0; url=./")
