// The two lists of facts beside the picture: how fast it goes, and what runs where.

import { make } from "./view.js";

const digits = (value) => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);

/** @param {HTMLElement} place a dl @param {import("./speed.js").Speed} speed @param {object} spec */
export function fillSpeed(place, speed, spec) {
  const taken = speed.answered + speed.dropped, fps = speed.fps;
  const rows = [
    ["Frames a second", fps.toFixed(1), `model: ${+spec.rate_hz.toFixed(2)}`],
    ["Left out", String(speed.dropped), `of ${taken} that were due`, speed.dropped > 0.05 * taken],
  ];
  const names = {
    step: "Step, median", latency: "Latency, median", grab: "Copying pixels", preprocess: "Resizing", invoke: "Network",
  };
  for (const [part, name] of Object.entries(names)) {
    const found = speed.of(part);
    if (found) rows.push([name, `${digits(found[0])} ms`, `p95 ${digits(found[1])} · p99 ${digits(found[2])}`]);
  }
  if (spec.task !== "regression") rows.push(["Events", String(speed.events), ""]);
  rows.push(["Resets", String(speed.resets), ""]);
  fill(place, rows);
}

/** @param {HTMLElement} place a dl @param {Map<string, [string, boolean | null]>} facts name → text, good or bad */
export function fillAbout(place, facts) {
  fill(place, [...facts].map(([name, [text, good]]) => [name, text, "", good === false, good === true]));
}

function fill(place, rows) {
  rows.forEach(([name, value, small = "", bad = false, good = false], n) => {
    let tile = place.children[n];
    if (!tile) {
      tile = make("div");
      const number = make("dd");
      number.append(make("span"), make("small"));
      tile.append(make("dt"), number);
      place.append(tile);
    }
    const [title, number] = tile.children, [large, below] = number.children;
    tile.classList.toggle("bad", bad);
    tile.classList.toggle("good", good);
    for (const [element, text] of [[title, name], [large, value], [below, small]]) {
      if (element.textContent !== text) element.textContent = text;
    }
  });
  while (place.children.length > rows.length) place.lastElementChild.remove();
}

/** What is known of a model once it is loaded. */
export function modelFacts(file, bytes, { spec, golden }) {
  const [, height, width] = spec.input.tensor.shape;
  const facts = new Map([
    ["File", [`${file}, ${(bytes / 1000).toFixed(0)} kB`, null]],
    ["Task", [`${spec.task}, ${spec.labels.length} ${spec.task === "regression" ? "numbers" : "labels"}`, null]],
    ["Input", [`${width} × ${height}, ${+spec.rate_hz.toFixed(2)} frames a second`, null]],
    ["State", [spec.states.map(({ name, shape, dtype }) => `${name} ${shape.slice(1).join("×")} ${dtype}`).join(", ") || "none", null]],
    ["Intact", ["every digest is right", true]],
  ]);
  if (golden === null) facts.set("Computes", ["nothing was recorded to compare with", null]);
  else {
    const { frames, of, apart, tolerance } = golden, where = `in ${frames}${frames < of ? ` of ${of}` : ""} recorded frames`;
    if (apart === 0) facts.set("Computes", [`the same bytes ${where}`, true]);
    else facts.set("Computes", [`${+apart.toFixed(1)} steps apart ${where}; ${tolerance} allowed`, apart <= tolerance]);
  }
  return facts;
}
