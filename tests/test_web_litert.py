"""The page of ``edgecap web`` in a real browser, with LiteRT.js: Python's bytes, and no crash.

Needs Chromium and the npm package, whose folder EDGECAP_LITERT_JS names. What is compared is
computed from the same pixels on both sides: raw frames, and PNG files, which every decoder reads
alike. Frames of a video are not compared: decoders differ.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgecap
from edgecap.browser import find_litert, write_site
from edgecap.browser.litert import VARIABLE
from edgecap.browser.server import SiteServer
from edgecap.cli import main
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests import handmade
from tests.devtools import Browser, Tab, find_browser
from tests.test_arm64 import ATTENDING, CELLS, convert
from tests.web_pages import NODE, run_node, with_spec

pytest.importorskip("cv2", reason="needs the extra 'camera'")
import cv2

CHROMIUM = find_browser()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(
        VARIABLE not in os.environ,
        reason=f"needs LiteRT.js: set {VARIABLE} to the folder that npm has unpacked",
    ),
]

FRAMES = 200
STATE = "document.querySelector('#state').innerText"
READY, ENDED = f"{STATE} === 'ready'", f"{STATE} === 'ended'"
BANNER = "(e => e.hidden ? '' : e.innerText)(document.querySelector('#banner'))"
ANSWERED = "edgecap.results.length"
OFFLINE = "document.querySelector('#about').innerText.includes('page and model are kept')"
SCROLLS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def click(tab: Tab, button: str) -> None:
    tab.value(f"document.querySelector('{button}').click()")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, demo_path: Path) -> Path:
    return write_site(
        demo_path, tmp_path_factory.mktemp("web") / "site", litert=find_litert()
    ).folder


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[SiteServer]:
    with SiteServer(site) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """With a camera that is allowed; and ``far.test`` is this machine, but not by its own name."""
    assert CHROMIUM is not None
    switches = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--host-resolver-rules=MAP far.test 127.0.0.1",
        "--autoplay-policy=no-user-gesture-required",
    )
    with Browser(CHROMIUM, tmp_path_factory.mktemp("chromium"), *switches) as browser:
        yield browser


@pytest.fixture(scope="module")
def shared(browser: Browser, server: SiteServer) -> Tab:
    """A page for tests that only use its modules."""
    tab = browser.open(server.url)
    tab.wait(READY)
    return tab


@pytest.fixture
def tab(browser: Browser, server: SiteServer) -> Iterator[Tab]:
    tab = browser.open(server.url)
    tab.wait(READY)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def scene() -> npt.NDArray[np.uint8]:
    """``(200, 113, 150, 3)``: gestures at a size that must be resized, by no whole number."""
    frames = Scene(seed=11, height=113, width=150, gestures=20)
    return np.stack([frame.image for frame, _ in zip(frames, range(FRAMES), strict=False)])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, scene: npt.NDArray[np.uint8]) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for index, image in enumerate(scene):
        cv2.imwrite(str(folder / f"{index}.png"), image[:, :, ::-1])
    return list(folder.iterdir())


STREAM = """
(async () => {
  const { Engine } = await import('./engine.js');
  const engine = new Engine();
  const told_of = (e) => [e.label, e.kind, e.timestamp_s, e.score];
  // Files of one name that are a second apart at most look alike to a browser's cache.
  const fetched = async (name) => (await fetch(name, { cache: 'no-store' })).arrayBuffer();
  const { golden } = await engine.load(await fetched('MODEL'));
  const frames = new Uint8Array(await fetched('FRAMES')), size = WIDTH * HEIGHT * 4;
  const flat = (parts) => parts.flatMap((part) => [...part]);
  const text = (bytes) => btoa(String.fromCharCode(...bytes));
  const found = [];
  for (let n = 0; n * size < frames.length; n++) {
    const pixels = frames.slice(n * size, (n + 1) * size).buffer;
    const told = await engine.step({ pixels, width: WIDTH, height: HEIGHT, timestamp_s: n / RATE });
    const states = text(flat(await engine.states())), events = told.events.map(told_of);
    found.push([text(told.output), states, [...told.values], told.settled, events]);
  }
  engine.worker.terminate();
  return { golden, found };
})()
"""


def streamed_in_browser(
    tab: Tab, site: Path, model: StreamingModel, path: Path, frames: npt.NDArray[np.uint8]
) -> dict[str, Any]:
    """Streams frames through the page's engine, from the reset state."""
    (site / "test.tflite").write_bytes(path.read_bytes())
    count, height, width, _ = frames.shape
    rgba = np.concatenate([frames, np.full((count, height, width, 1), 255, np.uint8)], axis=3)
    (site / "test.frames").write_bytes(rgba.tobytes())
    code = STREAM
    values = {"MODEL": "test.tflite", "FRAMES": "test.frames", "WIDTH": width, "HEIGHT": height}
    for name, value in (values | {"RATE": model.spec.rate_hz}).items():
        code = code.replace(name, str(value))
    found: dict[str, Any] = tab.value(code)
    return found


def assert_equal_to_python(
    found: dict[str, Any], model: StreamingModel, frames: npt.NDArray[np.uint8], *, exact: bool
) -> int:
    """Outputs and states byte for byte, answers and events; returns how many events there were."""
    assert model.backend.kernels == "xnnpack"
    stream, states, events = model.stream(), model.initial_states(), 0
    assert len(found["found"]) == len(frames)
    for index, (image, told) in enumerate(zip(frames, found["found"], strict=True)):
        output, after, values, settled, happened = told
        expected, states = model.infer(image, states)
        assert base64.b64decode(output) == expected.tobytes(), f"outputs of frame {index}"
        raw = b"".join(state.tobytes() for state in states)
        assert base64.b64decode(after) == raw, f"states after frame {index}"
        prediction = stream.step(image, index / model.spec.rate_hz)
        ours = getattr(prediction, "probabilities", getattr(prediction, "values", None))
        assert settled == prediction.settled
        mine = [[e.label, e.kind, e.timestamp_s, e.score] for e in prediction.events]
        events += len(mine)
        if exact:
            assert np.array(values, np.float32).tobytes() == ours.tobytes()
            assert happened == mine
        else:
            # See test_web_functions: NumPy's float32 exponential is not that of JavaScript.
            np.testing.assert_allclose(values, ours, rtol=1e-6)
            assert [event[:3] for event in happened] == [event[:3] for event in mine]
    return events


def test_200_frames_give_pythons_bytes_states_and_events(
    shared: Tab,
    site: Path,
    demo_path: Path,
    demo_model: StreamingModel,
    scene: npt.NDArray[np.uint8],
) -> None:
    found = streamed_in_browser(shared, site, demo_model, demo_path, scene)
    assert assert_equal_to_python(found, demo_model, scene, exact=True) >= 8
    golden = found["golden"]
    assert (golden["frames"], golden["apart"], golden["kernels"]) == (100, 0, "xnnpack")


@pytest.mark.parametrize(
    ("task", "dtype"),
    [
        ("classification", "int8"),
        ("classification", "int16"),
        ("multilabel", "int8"),
        ("multilabel", "float32"),
        ("regression", "float32"),
        ("regression", "int16"),
    ],
)
def test_every_task_and_kind_of_state_gives_pythons_bytes(
    shared: Tab, site: Path, tmp_path: Path, task: str, dtype: str
) -> None:
    path = tmp_path / "model.tflite"
    background = None if task == "regression" else "red"
    model = handmade.model(path, task, dtype, background=background, settle_s=0.3)
    frames = handmade.images(60, seed=4)
    found = streamed_in_browser(shared, site, model, path, frames)
    assert_equal_to_python(
        found,
        model,
        frames,
        exact=task == "regression" or (dtype == "int8" and task == "classification"),
    )
    assert found["golden"]["apart"] == 0


@pytest.mark.slow
def test_every_recipe_and_attention_give_pythons_bytes(
    shared: Tab, site: Path, tmp_path: Path
) -> None:
    """The models of tests/test_arm64.py: cells of 8, 16 and 32 bits, with attention or not."""
    pytest.importorskip("tensorflow", reason="needs the extra 'convert'")
    from tests.convert.test_network import MEMORIES, NECKS, lively_network, scenes

    network, images = lively_network(), scenes(2, 12)
    attending = lively_network(8, NECKS["attend to motion"], MEMORIES["attention"])
    recipes = [(network, name, cell) for name, cell in CELLS.items()]
    recipes += [(attending, name, CELLS[recipe]) for name, recipe in ATTENDING.items()]
    frames = Scene(seed=4, height=113, width=150, gestures=20)
    taken = np.stack([frame.image for frame, _ in zip(frames, range(FRAMES), strict=False)])
    for made_of, name, cell in recipes:
        path = tmp_path / f"{name}.tflite"
        convert(made_of, images, name, cell, path)
        model = edgecap.load(path)
        found = streamed_in_browser(shared, site, model, path, taken)
        assert_equal_to_python(found, model, taken, exact=model.spec.output.tensor.dtype == "int8")
        assert found["golden"]["apart"] == 0
        outputs = {output for output, *_ in found["found"]}
        assert len(outputs) > 20, "outputs must vary for this to mean anything"


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_steps_and_exchanged_models_leave_memory_as_it_was(tmp_path: Path, demo_path: Path) -> None:
    """The same runtime in node, where its memory can be looked at."""
    script, wasm = find_litert().files
    found = run_node(
        tmp_path,
        """
        import { createRequire } from "node:module";
        import { dirname } from "node:path";
        import { parseBundle } from "./bundle.js";
        import { openRuntime } from "./litert.js";
        import { StreamingModel } from "./streaming.js";
        const text = readFileSync(given.script, "utf8"), module = { exports: {} };
        const names = ["module", "exports", "require", "__filename", "__dirname"];
        const folder = `${dirname(given.script)}/`, require = createRequire(import.meta.url);
        new Function(...names, text)(module, module.exports, require, given.script, folder);
        const runtime = await openRuntime(module.exports, folder);
        const bundle = await parseBundle(bytes(given.model)), image = bundle.golden.frames[0];
        const place = () => { const at = runtime._malloc(64); runtime._free(at); return at; };
        const run = (steps) => {
          const model = new StreamingModel(runtime, bundle);
          let states = model.initialStates();
          for (let n = 0; n < steps; n++) ({ states } = model.infer(model.imageOf(image), states));
          model.close();
          return [runtime.HEAPU8.length, place()];
        };
        run(100);
        answer([run(100), run(2000), ...Array.from({ length: 12 }, () => run(2))]);
        """,
        script=str(script.resolve()),
        model=str(demo_path),
    )
    assert wasm.is_file()
    assert all(one == found[0] for one in found), found


def test_pictures_that_are_chosen_run_through_the_page_as_through_the_command(
    tab: Tab,
    demo_model: StreamingModel,
    scene: npt.NDArray[np.uint8],
    pictures: list[Path],
    tmp_path: Path,
) -> None:
    """By the buttons, as a person does: PNG files, in the order of their names."""
    lines = tmp_path / "command.jsonl"
    with pytest.raises(SystemExit) as end:
        main(["run", "demo", "--source", str(pictures[0].parent), "--jsonl", str(lines), "--quiet"])
    assert not end.value.code
    tab.choose("#file", *pictures)
    tab.wait(ENDED)
    told = tab.value(
        "edgecap.results.map(({ index, prediction: p }) => [index,"
        "btoa(String.fromCharCode(...p.output)), p.label,"
        "p.events.map((e) => [e.label, e.kind, e.timestamp_s, e.score])])"
    )
    stream, states = demo_model.stream(), demo_model.initial_states()
    for number, (image, (index, output, label, events)) in enumerate(zip(scene, told, strict=True)):
        expected, states = demo_model.infer(image, states)
        prediction = stream.step(image, number / demo_model.spec.rate_hz)
        assert index == number
        assert base64.b64decode(output) == expected.tobytes()
        assert label == prediction.label
        assert events == [[e.label, e.kind, e.timestamp_s, e.score] for e in prediction.events]
    ours = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [json.loads(line) for line in tab.value("edgecap.records.lines")] == ours
    starts = sum(kind == "start" for *_, events in told for _, kind, *_ in events)
    assert tab.value("document.querySelectorAll('#events li').length") == starts >= 5
    assert tab.value("edgecap.session.speed.dropped") == 0
    assert list(tab.problems) == []


def test_live_frames_flow_from_a_camera(browser: Browser, server: SiteServer) -> None:
    tab = browser.open(server.url, width=390, height=844, phone=True)
    tab.wait(READY)
    assert not tab.value(SCROLLS)
    click(tab, "#open-camera")
    tab.wait(f"{STATE} === 'live' && {ANSWERED} >= 10")
    began, before = time.monotonic(), tab.value(ANSWERED)
    shown = tab.value("document.querySelector('.picture').toDataURL()")
    tab.wait(f"{ANSWERED} >= {before} + 36")
    # At the model's rate and no faster, though the camera gives 20 frames a second or more.
    assert (tab.value(ANSWERED) - before) / (time.monotonic() - began) < 16
    assert shown != tab.value("document.querySelector('.picture').toDataURL()")
    gaps = tab.value(
        "edgecap.results.map((r) => r.prediction.timestamp_s)"
        ".map((s, n, all) => n ? s - all[n - 1] : 1)"
    )
    assert min(gaps) > 0
    latency = tab.value("edgecap.session.speed.of('latency')")
    assert 0 < latency[0] <= latency[1] <= latency[2] < 60000
    told = tab.value("document.querySelector('#health').innerText")
    assert "Latency, median" in told and "p99" in told
    assert not tab.value(SCROLLS)
    click(tab, "#stop")
    tab.wait(READY)
    answered = tab.value(ANSWERED)
    time.sleep(0.4)
    assert tab.value(ANSWERED) == answered
    outside = [url for url in tab.asked_for if not url.startswith((server.url, "blob:"))]
    assert outside == [] and list(tab.problems) == []
    tab.close()


def test_a_video_plays_to_its_end_and_again(tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "gestures.webm"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"VP80"), 25.0, (160, 120))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no VP8")
    for frame, _ in zip(Scene(seed=2, height=120, width=160, rate_hz=25), range(150), strict=False):
        writer.write(frame.image[:, :, ::-1])
    writer.release()
    tab.choose("#file", path)
    # Six seconds, of which a busy machine may show less than half, and not the end.
    tab.wait(f"{ENDED} && {ANSWERED} >= 10")
    last = tab.value("edgecap.results.at(-1).prediction.timestamp_s")
    assert 2 < last < 6.1
    first = tab.value(ANSWERED)
    assert first <= 74
    click(tab, "#again")
    tab.wait(f"{ANSWERED} > {first}")
    click(tab, "#pause")
    tab.wait(f"{STATE} === 'paused' && edgecap.session.source.paused")
    time.sleep(0.2)
    paused = tab.value(ANSWERED)
    time.sleep(0.4)
    assert tab.value(ANSWERED) == paused
    click(tab, "#pause")
    tab.wait(f"{ENDED} && {ANSWERED} > {first} + 8")
    # The state was reset: what follows the end of a recording is no continuation of it.
    assert tab.value("edgecap.session.speed.resets") == 1
    assert tab.value(BANNER) == ""


def test_without_a_network_the_page_works_as_before(
    browser: Browser, site: Path, pictures: list[Path]
) -> None:
    with SiteServer(site) as server:
        tab = browser.open(server.url)
        tab.wait(f"{READY} && {OFFLINE}")
    # Nothing answers on this port any more; and what the browser kept by itself is thrown away.
    tab.call("Network.clearBrowserCache")
    tab.call("Page.reload")
    tab.wait(
        f"performance.getEntriesByType('navigation')[0].type === 'reload' && {READY}", timeout_s=40
    )
    tab.choose("#file", *pictures[:20])
    tab.wait(f"{ENDED} && {ANSWERED} === 20")
    assert tab.value("navigator.serviceWorker.controller !== null")
    tab.close()


def test_a_newer_page_is_fetched_told_of_and_shown(
    browser: Browser, tmp_path: Path, demo_path: Path
) -> None:
    site = write_site(demo_path, tmp_path / "site", litert=find_litert()).folder
    with SiteServer(site) as server:
        tab = browser.open(server.url)
        tab.wait(f"{READY} && {OFFLINE}")
        other = with_spec(demo_path, tmp_path / "new.tflite", lambda d: d.update(name="newer"))
        write_site(other, site, litert=find_litert())
        tab.call("Page.reload")
        tab.wait("document.querySelector('#notices').innerText.includes('newer version')")
        assert tab.value("document.title") == "gestures-demo"
        tab.call("Page.reload")
        tab.wait(f"{READY} && document.title === 'newer'")
        tab.close()


def test_a_denied_camera_is_said_and_pictures_still_run(
    tmp_path_factory: pytest.TempPathFactory, server: SiteServer, pictures: list[Path]
) -> None:
    assert CHROMIUM is not None
    # There is a camera, and nobody who allows it by himself.
    switch = "--use-fake-device-for-media-stream"
    with Browser(CHROMIUM, tmp_path_factory.mktemp("denied"), switch) as browser:
        tab = browser.open(server.url)
        tab.wait(READY)
        target = browser.call("Target.getTargetInfo", targetId=tab.target)["targetInfo"]
        browser.call(
            "Browser.setPermission",
            permission={"name": "camera"},
            setting="denied",
            origin=server.url.rstrip("/"),
            browserContextId=target["browserContextId"],
        )
        click(tab, "#open-camera")
        tab.wait(f"{BANNER}.includes('not allowed') && {BANNER}.includes('press Camera again')")
        tab.choose("#file", *pictures[:12])
        tab.wait(f"{ENDED} && {ANSWERED} === 12")
        assert tab.value(BANNER) == ""
        assert list(tab.problems) == []


def test_a_missing_camera_is_said(
    tmp_path_factory: pytest.TempPathFactory, server: SiteServer
) -> None:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("bare")) as bare:
        tab = bare.open(server.url)
        tab.wait(READY)
        click(tab, "#open-camera")
        tab.wait(f"{BANNER}.includes('There is no camera')")
        assert tab.value(READY)
        assert list(tab.problems) == []


def test_a_lost_camera_is_said(tab: Tab) -> None:
    click(tab, "#open-camera")
    tab.wait(f"{ANSWERED} >= 3")
    # As when it is unplugged: the browser ends the track and tells of it.
    tab.value("edgecap.session.source.track.dispatchEvent(new Event('ended'))")
    tab.wait(f"{BANNER}.includes('The camera was lost')")
    assert tab.value(STATE) == "stopped"
    assert "Camera lost" in tab.value("document.querySelector('.veil').innerText")
    click(tab, "#open-camera")
    tab.wait(f"{STATE} === 'live' && {ANSWERED} >= 3 && {BANNER} === ''")


def test_without_a_secure_origin_it_is_said_and_pictures_still_run(
    browser: Browser, server: SiteServer, pictures: list[Path]
) -> None:
    tab = browser.open(re.sub(r"127\.0\.0\.1", "far.test", server.url))
    tab.wait(READY)
    assert not tab.value("isSecureContext")
    assert tab.value("document.querySelector('#open-camera').disabled")
    assert "https" in tab.value("document.querySelector('.veil').innerText")
    told = tab.value("document.querySelector('#about').innerText")
    assert "no: this page did not come over https" in told and "no: it came over plain http" in told
    # There is no crypto.subtle here: the digests are the page's own.
    assert tab.value("crypto.subtle === undefined")
    tab.choose("#file", *pictures[:12])
    tab.wait(f"{ENDED} && {ANSWERED} === 12")
    tab.close()


def wrong_models(folder: Path, demo: Path) -> Iterator[tuple[Path, str]]:
    data = demo.read_bytes()
    flipped = bytearray(data)
    flipped[100_000] ^= 4
    files = {
        "letter.tflite": (b"Dear all, " * 400, "not a model"),
        "empty.tflite": (b"", "not a model"),
        "plain.tflite": (data[:277_392], "without an edgecap spec"),
        "short.tflite": (data[:300_000], "cut short"),
        "flipped.tflite": (bytes(flipped), "model is damaged"),
        "tail.tflite": (
            data[:-30] + b"\0" + data[-29:],
            "zip tail is damaged|without an edgecap spec",
        ),
    }
    for name, (content, told) in files.items():
        (folder / name).write_bytes(content)
        yield folder / name, told
    with_spec(demo, folder / "sentences.tflite", lambda d: d.update(task="captioning"))
    yield folder / "sentences.tflite", "task is .captioning"
    with_spec(demo, folder / "other.tflite", lambda d: d["states"][0].update(shape=[1, 65]))
    yield folder / "other.tflite", "state in .h.: the spec says"


def test_a_wrong_model_is_refused_with_its_reason_and_the_one_before_stays(
    tab: Tab, tmp_path: Path, demo_path: Path, pictures: list[Path]
) -> None:
    for path, told in wrong_models(tmp_path, demo_path):
        tab.choose("#model-file", path)
        tab.wait(f"{BANNER}.includes('{path.name}')")
        assert re.search(told, tab.value(BANNER)), tab.value(BANNER)
        click(tab, "#banner button")
        assert tab.value(BANNER) == ""
    assert tab.value("document.title") == "gestures-demo"
    tab.choose("#file", *pictures[:12])
    tab.wait(f"{ENDED} && {ANSWERED} === 12")
    assert list(tab.problems) == []


def test_a_slow_model_answers_the_newest_frame_and_no_queue_grows(tab: Tab) -> None:
    tab.value(
        "(({ engine }) => { const step = engine.step.bind(engine);"
        "engine.step = async (frame) => { const told = await step(frame);"
        "await new Promise((done) => setTimeout(done, 300)); return told; }; })(edgecap)"
    )
    click(tab, "#open-camera")
    tab.wait(f"{ANSWERED} >= 20 && edgecap.session.speed.dropped >= 20")
    # A queue would make each answer 300 ms later than the one before: the last six seconds.
    assert 300 <= tab.value("edgecap.session.speed.of('latency')")[0] < 2000


PLAY = """
(async () => {
  const { Session } = await import('./session.js');
  const told = [], image = document.createElement('canvas'), size = { width: 4, height: 4 };
  let asked = 0;
  const engine = {
    reset: async () => (asked++ ? ['left'] : []),
    step: async ({ timestamp_s }) => ({ timestamp_s, events: [], preprocess_ms: 0, invoke_ms: 0 }),
  };
  const source = {
    live: LIVE, stop() {}, async start(seen) {
      for (const timestamp_s of TIMES) await seen({ image, ...size, timestamp_s });
    },
  };
  const session = new Session(engine, { rate_hz: 10 }, source, {
    picture() {}, ended() {}, failed: (error) => told.push(String(error)),
    notice: (kind, text) => told.push(text),
    ends: (events) => told.push(...events.map((e) => [e.label, e.kind, e.timestamp_s])),
    result: ({ index }) => told.push(index),
  });
  await session.start();
  return told;
})()
"""


def test_time_is_the_models_and_a_long_pause_resets(shared: Tab) -> None:
    def played(live: str, *times: float) -> Any:
        return shared.value(PLAY.replace("LIVE", live).replace("TIMES", str(list(times))))

    # 20 frames a second where the model wants 10: every other one is left out.
    assert played("true", 0, 0.05, 0.1, 0.15, 0.2) == [0, 2, 4]
    # What was under way ends with the last frame before the pause.
    ended = ["left", "end", 0.1]
    assert played("true", 0, 0.1, 3.1) == [0, 1, "no frame for 3.0 s: state reset", ended, 2]
    assert played("true", 0, 0.1, 2.0) == [0, 1, 2]
    # A recording that begins anew is no pause, and a camera's clock that is set back is no reset.
    assert played("false", 0, 0.1, 0) == [0, 1, ended, 2]
    assert played("true", 0, 0.1, 0.0) == [0, 1]


def test_a_camera_that_falls_silent_is_not_taken_for_live(tab: Tab) -> None:
    click(tab, "#open-camera")
    tab.wait(f"{ANSWERED} >= 3")
    veil = "document.querySelector('.stale .veil')?.innerText ?? ''"
    tab.wait(f"({veil}) === ''")
    tab.value("edgecap.session.source.video.pause()")
    tab.wait(f"({veil}).includes('No picture')")
    tab.value("edgecap.session.source.video.play()")
    tab.wait(f"({veil}) === '' && document.querySelector('#notices').innerText.includes('reset')")


def test_a_browser_without_simd_is_told_so(
    browser: Browser, server: SiteServer, demo_path: Path
) -> None:
    tab = browser.open("about:blank")
    lame = "WebAssembly.validate = () => false"
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=lame)
    tab.call("Page.navigate", url=server.url)
    tab.wait(f"{STATE} === 'no model' && {BANNER}.includes('no SIMD')")
    assert tab.value("document.querySelector('#open-camera').disabled")
    click(tab, "#banner button")
    tab.choose("#model-file", demo_path)
    tab.wait(f"{BANNER}.includes('no SIMD')")
    assert list(tab.problems) == []
    tab.close()


DROP = """
(async () => {
  const data = new DataTransfer();
  for (const [name, type] of FILES) {
    data.items.add(new File([await (await fetch(name)).arrayBuffer()], name, { type }));
  }
  for (const kind of ['dragenter', 'drop']) {
    dispatchEvent(new DragEvent(kind, { dataTransfer: data, cancelable: true }));
  }
})()
"""


def test_files_can_be_dropped_on_the_page(tab: Tab, site: Path, pictures: list[Path]) -> None:
    for name in ("0.png", "1.png"):
        (site / name).write_bytes((pictures[0].parent / name).read_bytes())
    tab.value(DROP.replace("FILES", "[['0.png', 'image/png'], ['1.png', 'image/png']]"))
    tab.wait(f"{ENDED} && {ANSWERED} === 2")
    tab.value(DROP.replace("FILES", "[['app.js', '']]"))
    tab.wait(f"{BANNER}.includes('app.js') && {BANNER}.includes('not a model')")
    tab.value(DROP.replace("FILES", "[['model.tflite', '']]"))
    tab.wait(f"{READY} && {BANNER} === ''")
    assert not tab.value("document.body.classList.contains('dropping')")


def test_another_model_takes_the_place_of_the_first(
    tab: Tab, tmp_path: Path, pictures: list[Path]
) -> None:
    handmade.model(tmp_path / "by hand.tflite", "regression", "float32")
    tab.choose("#model-file", tmp_path / "by hand.tflite")
    tab.wait("document.title === 'made by hand'")
    tab.choose("#file", *pictures[:12])
    tab.wait(f"{ENDED} && {ANSWERED} === 12")
    assert tab.value("document.querySelectorAll('.bars li').length") == 3
    assert tab.value("document.querySelector('#events-panel').hidden")
    assert list(tab.problems) == []


@pytest.mark.parametrize("ending", ["js", "wasm"])
def test_a_folder_that_is_not_whole_is_told_of(
    browser: Browser, site: Path, tmp_path: Path, ending: str
) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    (folder / "litert" / f"litert_wasm_compat_internal.{ending}").unlink()
    with SiteServer(folder) as server:
        tab = browser.open(server.url)
        tab.wait(f"{STATE} === 'no model' && {BANNER}.includes('LiteRT.js cannot be started')")
        assert "folder litert/ is not whole" in tab.value(BANNER)
        tab.wait("document.querySelector('#about').innerText.includes('Offline\\nno')")
        tab.close()


def test_the_guides_own_app_runs(browser: Browser, site: Path, tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent / "docs" / "browser.md").read_text("utf-8")
    code = re.search(r"<!-- code: own\.js -->\s*```js\n(.*?)```", guide, re.DOTALL)
    assert code
    folder = shutil.copytree(site, tmp_path / "site")
    (folder / "own.js").write_text(textwrap.dedent(code[1]), "utf-8")
    (folder / "own.html").write_text(
        '<link rel="icon" href="icon.svg"><body><script type="module" src="own.js"></script>'
    )
    with SiteServer(folder) as server:
        tab = browser.open(f"{server.url}own.html")
        # The browser's test camera turns a wedge, which looks like a gesture now and then.
        tab.wait("/start (\\w+)/.test(document.body.innerText)")
        assert list(tab.problems) == []
        tab.close()


def test_files_that_are_no_frames_are_said(tab: Tab, tmp_path: Path, pictures: list[Path]) -> None:
    video, picture = tmp_path / "broken.mp4", tmp_path / "broken.png"
    video.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(5000))
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    for chosen, told in (
        ((video,), "cannot be played"),
        ((picture,), "no picture that this browser can read"),
        ((video, pictures[0]), "files of several kinds"),
    ):
        tab.choose("#file", *chosen)
        tab.wait(f"{BANNER}.includes('{told}')")
        click(tab, "#banner button")
    tab.choose("#file", *pictures[:12])
    tab.wait(f"{ENDED} && {ANSWERED} === 12")


def test_a_page_without_its_model_takes_one_by_hand(
    browser: Browser, site: Path, tmp_path: Path, demo_path: Path
) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    (folder / "model.tflite").unlink()
    with SiteServer(folder) as server:
        tab = browser.open(server.url)
        tab.wait(f"{STATE} === 'no model' && {BANNER}.includes('choose a .tflite file')")
        tab.choose("#model-file", demo_path)
        tab.wait(f"{READY} && document.title === 'gestures-demo'")
        tab.close()
