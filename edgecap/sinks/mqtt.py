"""Events, notices and health to an MQTT broker."""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections import deque
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote, urlsplit

from edgecap.errors import SinkError
from edgecap.extras import require_mqtt
from edgecap.health import Health
from edgecap.masking import mask_url
from edgecap.notices import Notice
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.records import event_records, notice_record

DEFAULT_HEALTH_S = 30.0
DEFAULT_PREFIX = "edgecap"
_KEEPALIVE_S = 20
# Events that were sent and not yet acknowledged; more than this is a broker that hangs.
_MOST_UNACKNOWLEDGED = 500
_FAREWELL_S = 0.8


class Mqtt(Sink):
    """Publishes JSON below a prefix; belongs behind a queue.

    ========================  ==========  =====================================================
    topic                     retained    payload
    ========================  ==========  =====================================================
    ``<prefix>/event``        no          one object per event, as :class:`Webhook` sends it
    ``<prefix>/notice``       no          ``notice``, ``told``, ``timestamp_s``, ``camera``
    ``<prefix>/health``       yes         the fields of :class:`~edgecap.health.Health`
    ``<prefix>/availability`` yes         ``online``; ``offline`` at the end, or when we vanish
    ========================  ==========  =====================================================

    Events and notices have quality of service 1: they are sent again until the broker has
    acknowledged them, and so may arrive twice; an event's ``id`` tells. Without a connection
    nothing is taken, so that what waits is kept by the queue in front; the connection is tried
    again every second or two for ever.

    Args:
      url: ``mqtt://user:password@host:1883/prefix``, or ``mqtts://`` (port 8883) for TLS with the
        certificate checked. The prefix is ``edgecap`` if none is given; two devices on one broker
        need different ones.
      health_s: how often the health is published.
      client_id: by default a random one.

    Raises:
      MissingDependencyError: paho-mqtt is not installed.
      SinkError: the address is malformed; and when writing: there is no connection, or the broker
        does not acknowledge.
    """

    uses_images, only_events = False, True
    # A try costs nothing: it only looks whether there is a connection.
    longest_retry_s = 1.0

    def __init__(
        self, url: str, *, health_s: float = DEFAULT_HEALTH_S, client_id: str | None = None
    ) -> None:
        self._mqtt = require_mqtt("to publish to a broker")
        self._told_as, self._health_s = mask_url(url), health_s
        host, port, user, password, self._prefix, secure = _address(url, self._told_as)
        self._run: RunInfo | None = None
        self._model = ""
        self._next_health_s = 0.0
        # With this and its number an event has a name of its own, over all runs and devices.
        self._name, self._number = uuid.uuid4(), 0
        self._unacknowledged: deque[Any] = deque()
        self._refused = ""
        client = self._mqtt.Client(
            self._mqtt.CallbackAPIVersion.VERSION2,
            client_id=client_id or f"edgecap-{self._name.hex[:12]}",
        )
        if user is not None:
            client.username_pw_set(user, password)
        if secure:
            client.tls_set_context(ssl.create_default_context())
        client.will_set(self._topic("availability"), "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, 2)
        client.max_queued_messages_set(_MOST_UNACKNOWLEDGED + 10)
        client.on_connect = self._connected
        # Does not connect yet: the client's own thread does, and again whenever it must.
        client.connect_async(host, port, keepalive=_KEEPALIVE_S)
        self._client = client

    def begin(self, run: RunInfo) -> None:
        self._run, self._model = run, run.spec.name
        self._client.loop_start()

    def write(self, result: Result) -> None:
        if not result.prediction.events:
            return
        self._check()
        for record in event_records(result):
            self._number += 1
            name = str(uuid.uuid5(self._name, str(self._number)))
            self._publish("event", {"id": name, "model": self._model, **record})

    def notice(self, notice: Notice) -> None:
        self._check()
        self._publish("notice", notice_record(notice))

    def idle(self) -> None:
        """Publishes the health when it is due."""
        now_s = time.monotonic()
        if self._run is None or now_s < self._next_health_s:
            return
        self._check()
        self._next_health_s = now_s + self._health_s
        health = _rounded(asdict(self._run.health()))
        self._client.publish(self._topic("health"), json.dumps(health), qos=0, retain=True)

    def close(self) -> None:
        """Says goodbye; waits for acknowledgements, but not for long.

        Raises:
          SinkError: some never came.
        """
        if self._client.is_connected():
            farewell = self._client.publish(
                self._topic("availability"), "offline", qos=1, retain=True
            )
            self._unacknowledged.append(farewell)
            until_s = time.monotonic() + _FAREWELL_S
            while time.monotonic() < until_s and self._forget_acknowledged():
                time.sleep(0.005)
        left = self._forget_acknowledged()
        # Its thread then ends by itself; it may be in the middle of a connection now.
        self._client.disconnect()
        if left:
            raise SinkError(f"{self._told_as} has not acknowledged the last {left} messages")

    def _check(self) -> None:
        """Raises ``SinkError`` where nothing can be published now."""
        if not self._client.is_connected():
            cause = f": {self._refused}" if self._refused else ""
            raise SinkError(f"no connection to {self._told_as}{cause}")
        if self._forget_acknowledged() >= _MOST_UNACKNOWLEDGED:
            raise SinkError(f"{self._told_as} does not acknowledge what it is sent")

    def _publish(self, topic: str, record: dict[str, Any]) -> None:
        payload = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")
        self._unacknowledged.append(self._client.publish(self._topic(topic), payload, qos=1))

    def _forget_acknowledged(self) -> int:
        """How many messages are still on their way."""
        while self._unacknowledged and self._unacknowledged[0].is_published():
            self._unacknowledged.popleft()
        return len(self._unacknowledged)

    def _topic(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _connected(self, client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        """Called by the client's thread, after each connection and each refusal."""
        self._refused = str(reason) if reason.is_failure else ""
        if not reason.is_failure:
            client.publish(self._topic("availability"), "online", qos=1, retain=True)
            self._next_health_s = 0.0


def _address(url: str, told_as: str) -> tuple[str, int, str | None, str | None, str, bool]:
    """Host, port, user, password, prefix, and whether by TLS."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    prefix = unquote(parts.path).strip("/") or DEFAULT_PREFIX
    wild = any(c in prefix for c in "+#\0") or prefix.startswith("$")
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.query or wild:
        raise SinkError(
            "MQTT: expected an address like mqtt://user:password@host:1883/prefix, the prefix "
            f"without + # and a leading $; got {told_as!r}"
        )
    secure = parts.scheme == "mqtts"
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return parts.hostname, port or (8883 if secure else 1883), user, password, prefix, secure


def _rounded(health: dict[str, Any]) -> dict[str, Any]:
    def short(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [short(v) for v in value]
        return round(value, 3) if isinstance(value, float) else value

    assert set(health) == set(Health.__dataclass_fields__)
    return {name: short(value) for name, value in health.items()}
