"""MQTT against a real broker: there, not there yet, restarted, and hard to please."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecap.errors import MissingDependencyError, SinkError
from edgecap.notices import Notice
from edgecap.sinks.background import Background
from edgecap.sinks.mqtt import Mqtt
from tests.processes import LIMIT_S, wait_for
from tests.runs import END, START, result, run_info


def program(name: str) -> str | None:
    """A program beside this Python, in the path, or where Debian has daemons."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join([beside, os.environ["PATH"], "/usr/sbin"]))


class Broker:
    """mosquitto or amqtt on loopback."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self._folder, self._password = folder, password
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}/shop/door"

    def start(self) -> None:
        # amqtt is kept for where mosquitto is not: it takes seconds to start.
        command = self._mosquitto() or self._amqtt()
        if command is None:
            pytest.skip("needs a broker: mosquitto or amqtt")
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._listens)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, "the broker has ended"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def _mosquitto(self) -> list[str] | None:
        found = program("mosquitto")
        if found is None:
            return None
        config = self._folder / "mosquitto.conf"
        anonymous = "false" if self._password else "true"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous {anonymous}\n")
        return [found, "-c", str(config)]

    def _amqtt(self) -> list[str] | None:
        found = program("amqtt")
        if found is None:
            return None
        config = self._folder / "amqtt.yaml"
        (self._folder / "passwords").write_text("")
        plugin = (
            f"FileAuthPlugin:\n    password_file: {self._folder / 'passwords'}\n"
            if self._password
            else "AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        )
        config.write_text(
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{self.port}\n"
            f"plugins:\n  amqtt.plugins.authentication.{plugin}"
        )
        return [found, "-c", str(config)]


class Listener:
    """Another client, which keeps what is published."""

    def __init__(self, broker: Broker) -> None:
        mqtt = pytest.importorskip("paho.mqtt.client", reason="needs the extra 'mqtt'")
        self.got: list[tuple[str, Any, bool]] = []
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("shop/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _d, m: self.got.append(
            (m.topic, m.payload.decode(), m.retain)
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._ready.wait(LIMIT_S)

    def of(self, name: str) -> list[Any]:
        return [payload for topic, payload, _ in tuple(self.got) if topic == f"shop/door/{name}"]

    def events(self) -> list[dict[str, Any]]:
        """Without those that came twice."""
        told = {event["id"]: event for event in map(json.loads, self.of("event"))}
        return list(told.values())

    def gone(self) -> None:
        """To be told while there is no broker."""
        self._ready.clear()

    def again(self) -> None:
        """Waits until the broker has it again."""
        assert self._ready.wait(LIMIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt.client", reason="needs the extra 'mqtt'")
    made = Broker(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    broker.start()
    made = Listener(broker)
    yield made
    made.close()


def test_events_notices_health_and_presence_are_published(
    broker: Broker, listener: Listener
) -> None:
    background = Background(Mqtt(broker.url, health_s=0.1), name="mqtt")
    background.begin(run_info())
    background.write(result(0))
    background.write(result(1, START))
    background.notice(Notice("lost", "no frame for 5 s", 7.0, "door"))
    wait_for(lambda: listener.of("event") and listener.of("notice"))
    wait_for(lambda: len(listener.of("health")) > 2)
    background.close(LIMIT_S)
    wait_for(lambda: "offline" in listener.of("availability"))
    assert listener.of("availability") == ["online", "offline"]
    (event,) = listener.events()
    assert (event["event"], event["kind"], event["camera"]) == ("öffnen", "start", "door")
    assert event["model"] == run_info().spec.name
    assert json.loads(listener.of("notice")[0])["notice"] == "lost"
    health = json.loads(listener.of("health")[-1])
    assert {"fps", "dropped", "latency_ms", "temperature_c", "memory_mb"} <= set(health)


def test_who_comes_late_is_told_the_presence_and_the_health(
    broker: Broker, listener: Listener
) -> None:
    background = Background(Mqtt(broker.url), name="mqtt")
    background.begin(run_info())
    wait_for(lambda: listener.of("health") and listener.of("availability"))
    late = Listener(broker)
    topics = {"shop/door/availability", "shop/door/health"}
    wait_for(lambda: {topic for topic, _, _ in late.got} == topics)
    # The first of each; on a slow machine, the next one may have come too.
    first = {topic: retained for topic, _, retained in reversed(late.got)}
    assert first == dict.fromkeys(topics, True)
    late.close()
    background.close(LIMIT_S)


def test_a_broker_that_is_not_there_yet_gets_the_events_when_it_is(broker: Broker) -> None:
    background = Background(Mqtt(broker.url), name="mqtt")
    told: list[str] = []
    background.told = lambda notice: told.append(notice.told)
    background.begin(run_info())
    for index in range(300):
        background.write(result(index, *((START,) if index % 100 == 0 else ())))
    wait_for(lambda: told or background._to_tell)
    broker.start()
    listener = Listener(broker)
    wait_for(lambda: len(listener.events()) == 3)
    background.close(LIMIT_S)
    assert [event["frame"] for event in listener.events()] == [0, 100, 200]
    assert told[0].startswith(f"mqtt: no connection to {broker.url}")
    listener.close()


def test_a_broker_that_is_killed_and_started_again_loses_no_event(
    broker: Broker, listener: Listener
) -> None:
    sink = Mqtt(broker.url)
    background = Background(sink, name="mqtt")
    background.begin(run_info())
    background.write(result(0, START))
    wait_for(listener.events)
    # The listener must be back before us: what is published to nobody is kept by no broker.
    back, reconnect = threading.Event(), sink._client.reconnect

    def late() -> Any:
        assert back.wait(LIMIT_S)
        return reconnect()

    sink._client.reconnect = late  # type: ignore[method-assign]
    broker.stop()
    listener.gone()
    # As it stops: on its way, refused, or kept in the queue.
    for index in range(1, 20):
        background.write(result(index, START))
    broker.start()
    listener.again()
    back.set()
    background.write(result(20, END))
    wait_for(lambda: any(event["frame"] == 20 for event in listener.events()))
    background.close(LIMIT_S)
    frames = [event["frame"] for event in listener.events()]
    assert sorted(frames) == list(range(21))
    assert background.losses.events == 0


def test_when_the_process_dies_the_broker_says_so(broker: Broker, listener: Listener) -> None:
    code = (
        "import sys, time\n"
        "from edgecap.sinks.mqtt import Mqtt\n"
        "from tests.runs import run_info\n"
        "Mqtt(sys.argv[1]).begin(run_info())\n"
        "time.sleep(60)\n"
    )
    root = Path(__file__).parent.parent
    paths = os.pathsep.join([str(root), *filter(None, sys.path)])
    device = subprocess.Popen(
        [sys.executable, "-c", code, broker.url],
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths},
    )
    wait_for(lambda: listener.of("availability") == ["online"])
    device.kill()
    device.wait()
    wait_for(lambda: listener.of("availability") == ["online", "offline"])


def test_a_refusal_is_told_with_its_cause_and_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client", reason="needs the extra 'mqtt'")
    broker = Broker(tmp_path, password="right")
    broker.start()
    sink = Mqtt(f"mqtt://me:hunter2@127.0.0.1:{broker.port}/shop")
    sink.begin(run_info())
    wait_for(lambda: sink._refused)
    with pytest.raises(SinkError, match=r"no connection to mqtt://me:\*\*\*@.*: Not authorized"):
        sink.write(result(1, START))
    sink.close()
    broker.stop()


def test_a_broker_that_never_acknowledges_is_told_at_the_end() -> None:
    pytest.importorskip("paho.mqtt.client", reason="needs the extra 'mqtt'")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sink = Mqtt(f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        background = Background(sink, name="mqtt")
        told: list[str] = []
        background.told = lambda notice: told.append(notice.told)
        background.begin(run_info())
        peer, _ = silent.accept()
        peer.recv(1000)
        peer.sendall(b"\x20\x02\x00\x00")  # CONNACK, and nothing more from here on
        wait_for(sink._client.is_connected)
        background.write(result(1, START))
        background.close(LIMIT_S)
        assert any("has not acknowledged the last" in line for line in told)
        peer.close()


@pytest.mark.parametrize(
    "url", ["host", "http://host", "mqtt://", "mqtt://h:x/", "mqtt://h/a/+/b", "mqtt://h/$SYS"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    pytest.importorskip("paho.mqtt.client", reason="needs the extra 'mqtt'")
    with pytest.raises(SinkError, match="expected an address like mqtt://"):
        Mqtt(url)


def test_without_paho_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingDependencyError, match=r"pip install '\.\[mqtt\]'"):
        Mqtt("mqtt://host")
