"""What a step costs in headless Chromium, and how long the page takes until it is ready.

PYTHONPATH=. python benchmarks/browser_steps.py MODEL [--litert FOLDER] [--json FILE]

The page's own engine is given frames of a synthetic scene at a camera's size, one after the other,
with both variants of LiteRT.js for one thread: the page takes ``compat``, whose arithmetic is the
same in every browser; the other one uses relaxed SIMD. Beside them, the same frames in Python.
Needs Chromium and the extra 'camera'.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.browser import find_litert, write_site
from edgecap.browser.server import SiteServer
from edgecap.preprocess import Preprocessor
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests.devtools import Browser, find_browser

_FRAMES, _STEPS, _WARM_UP = 24, 1500, 100
_HEIGHT, _WIDTH = 480, 640
_READY = "document.querySelector('#state').innerText === 'ready'"
_VARIANTS = {"compat": "litert_wasm_compat_internal", "relaxed": "litert_wasm_internal"}
_RUN = """
(async () => {
  const { Engine } = await import('./engine.js');
  const engine = new Engine();
  const fetched = async (name) => (await fetch(name)).arrayBuffer();
  const { golden } = await engine.load(await fetched('model.tflite'));
  const frames = new Uint8Array(await fetched('test.frames')), size = WIDTH * HEIGHT * 4;
  const taken = { preprocess: [], invoke: [], whole: [] };
  for (let n = 0; n < STEPS; n++) {
    const at = (n * size) % frames.length, pixels = frames.slice(at, at + size).buffer;
    const began = performance.now();
    const told = await engine.step({ pixels, width: WIDTH, height: HEIGHT, timestamp_s: n / 12 });
    taken.whole.push(performance.now() - began);
    taken.preprocess.push(told.preprocess_ms);
    taken.invoke.push(told.invoke_ms);
  }
  engine.worker.terminate();
  return { golden, taken };
})()
"""


def scene() -> npt.NDArray[np.uint8]:
    """``(24, 480, 640, 3)``."""
    frames = Scene(seed=5, height=_HEIGHT, width=_WIDTH)
    return np.stack([frame.image for frame, _ in zip(frames, range(_FRAMES), strict=False)])


def percentiles(times_ms: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(times_ms[_WARM_UP:], (50, 95, 99))
    return {"p50": round(p50, 3), "p95": round(p95, 3), "p99": round(p99, 3)}


def in_python(model: StreamingModel, images: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """The same frames through the same network beside it; OpenCV resizes."""
    preprocess = Preprocessor(model.spec.input)
    taken: dict[str, list[float]] = {"preprocess": [], "preprocess_and_invoke": []}
    states = model.initial_states()
    for number in range(_STEPS + _WARM_UP):
        image = images[number % _FRAMES]
        began = time.perf_counter()
        preprocess(image)
        between = time.perf_counter()
        _, states = model.infer(image, states)
        taken["preprocess_and_invoke"].append((time.perf_counter() - between) * 1e3)
        taken["preprocess"].append((between - began) * 1e3)
    return {f"{part}_ms": percentiles(times) for part, times in taken.items()}


def use_variant(site: Path, litert: Path, name: str) -> None:
    """Has the page's worker take another variant."""
    for ending in ("js", "wasm"):
        data = (litert / "wasm" / f"{name}.{ending}").read_bytes()
        (site / "litert" / f"{name}.{ending}").write_bytes(data)
    worker = site / "worker.js"
    worker.write_text(worker.read_text().replace(_VARIANTS["compat"], name))


def measure(browser: Browser, url: str) -> dict[str, Any]:
    tab = browser.open(url)
    tab.wait(_READY, timeout_s=60)
    code = _RUN.replace("STEPS", str(_STEPS + _WARM_UP))
    told = tab.value(code.replace("WIDTH", str(_WIDTH)).replace("HEIGHT", str(_HEIGHT)))
    tab.close()
    result: dict[str, Any] = {"recorded_frames_apart": told["golden"]["apart"]}
    for part, times in told["taken"].items():
        result[f"{part}_ms"] = percentiles(times)
    return result


def ready_s(browser: Browser, url: str) -> float:
    began = time.monotonic()
    tab = browser.open(url)
    tab.wait(_READY, timeout_s=60)
    taken = time.monotonic() - began
    tab.close()
    return round(taken, 2)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("model")
    parser.add_argument("--litert")
    arguments = parser.parse_args()
    program, litert = find_browser(), find_litert(arguments.litert)
    if program is None:
        raise SystemExit("needs Chromium")
    with tempfile.TemporaryDirectory() as name:
        written = write_site(resolve_model(arguments.model), Path(name) / "site", litert=litert)
        site = written.folder
        files = [file for file in site.rglob("*") if file.is_file()]
        result: dict[str, Any] = {
            "model": written.model,
            "steps": _STEPS,
            "frame": f"{_WIDTH}x{_HEIGHT}",
            "site_bytes": sum(file.stat().st_size for file in files),
            "site_bytes_gzipped": sum(len(gzip.compress(file.read_bytes())) for file in files),
        }
        images = scene()
        (site / "test.frames").write_bytes(np.insert(images, 3, 255, axis=3).tobytes())
        with SiteServer(site) as server, Browser(program, Path(name) / "profile") as browser:
            result["ready_s"] = [ready_s(browser, server.url) for _ in range(3)]
            for variant, file in _VARIANTS.items():
                use_variant(site, litert.folder, file)
                result[variant] = measure(browser, server.url)
    result["python"] = in_python(edgecap.load(resolve_model(arguments.model)), images)
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
