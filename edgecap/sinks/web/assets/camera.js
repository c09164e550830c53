// One camera: its picture, what is seen, and the chart.

import { Chart, short } from "./chart.js";

const MOST_LINES = 10, IDLE_S = 3, SAME_LEVEL = 1e-9;

/** Colours as the style sheet has them now; they differ in the dark. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    lines: Array.from({ length: MOST_LINES }, (_, n) => color(`c${n}`)),
    ink: color("ink"), soft: color("soft"), quiet: color("quiet"), line: color("line"),
  };
}

/** Which colour a label has: a number of the palette, or −1 for the background. */
export function slot(about, label) {
  const others = about.labels.filter((one) => one !== about.background);
  const place = others.indexOf(label);
  return place < 0 ? -1 : place % MOST_LINES;
}

export const cssColor = (n) => (n < 0 ? "var(--quiet)" : `var(--c${n})`);

export class Camera {
  constructor(index, about) {
    this.index = index;
    this.about = about;
    this.element = document.querySelector("#camera").content.firstElementChild.cloneNode(true);
    const find = (name) => this.element.querySelector(name);
    this.picture = find(".picture");
    this.pen = this.picture.getContext("2d");
    this.veil = find(".veil");
    this.told = find(".told");
    this.list = find(".bars");
    this.name = about.cameras[index] || "camera";
    this.picture.setAttribute("aria-label", `Picture of ${this.name}`);
    find(".chart").setAttribute("aria-label", `The last ${about.history_s} seconds of ${this.name}`);
    this.title = find(".name");
    this.chart = new Chart(find(".chart"), about);
    this.rows = [];
    this.bands = [];
    this.state = { active: [], live: false, lost: null, slow: null, idle_s: null };
    this.now = null;
    this.arrived = performance.now() / 1000;
    this.items = new Map();
    this.measures = about.task === "regression";
    this.captions = about.task === "captioning";
    this.element.querySelector(".answer").classList.toggle("several", about.labels.length > 1);
  }

  /** Takes its part of a message. */
  async take(part) {
    const at = performance.now() / 1000;
    this.state = part;
    for (const row of part.rows) this.rows.push(row);
    if (this.rows.length) {
      const oldest = this.rows.at(-1)[0] - this.about.history_s - 1;
      while (this.rows[0][0] < oldest) this.rows.shift();
      this.bands = this.bands.filter(({ to }) => to === null || to >= oldest);
    }
    this.arrived = at - (part.idle_s ?? 0);
    this.answer();
    this.cover(at);
    if (part.picture) await this.show(part.picture);
  }

  event({ label, kind, clock_s }) {
    const open = this.bands.find((band) => band.to === null && band.label === label);
    if (open) open.to = clock_s;
    if (kind === "start") this.bands.push({ label, slot: slot(this.about, label), from: clock_s, to: null });
  }

  /** Ends what is not under way any more, though nobody told of its end. */
  endBands(active) {
    const newest = this.rows.at(-1)?.[0] ?? 0;
    for (const band of this.bands) if (band.to === null && !active.includes(band.label)) band.to = newest;
  }

  async show(blob) {
    let image;
    try {
      image = await createImageBitmap(blob);
    } catch {
      return; // A damaged picture: the next one comes soon.
    }
    if (this.picture.width !== image.width || this.picture.height !== image.height) {
      this.picture.width = image.width;
      this.picture.height = image.height;
      this.picture.parentElement.style.setProperty("--ratio", image.width / image.height);
    }
    this.pen.drawImage(image, 0, 0);
    image.close();
  }

  /** Says over the picture why it stands still. */
  cover(at) {
    const { lost, slow, live, idle_s: idle } = this.state;
    const still = at - this.arrived;
    const quiet = live && still > IDLE_S;
    const first = idle === null;
    this.element.classList.toggle("stale", lost !== null || quiet || first);
    const [strong, more] = this.veil.children;
    if (lost !== null) {
      strong.textContent = "Camera lost";
      more.textContent = lost;
    } else if (first) {
      strong.textContent = "Waiting for the first picture";
      more.textContent = "";
    } else {
      strong.textContent = "No picture";
      more.textContent = `for ${Math.round(still)} s`;
    }
    const name = [document.createElement("span")];
    name[0].textContent = this.name;
    if (slow !== null) {
      const mark = document.createElement("span");
      mark.className = "slow";
      mark.textContent = "too few frames";
      mark.title = slow;
      name.push(mark);
    }
    this.title.replaceChildren(...name);
  }

  /** The labels worth a line: all of a few, or those that were likeliest lately. */
  lines() {
    const { labels } = this.about;
    let chosen = labels.map((_, index) => index);
    if (labels.length > MOST_LINES && !this.measures) {
      const highest = new Array(labels.length).fill(0);
      for (const [, values] of this.rows) {
        for (const key in values) if (values[key] > highest[key]) highest[key] = values[key];
      }
      chosen.sort((a, b) => highest[b] - highest[a] || a - b);
    }
    chosen = chosen.slice(0, MOST_LINES).sort((a, b) => a - b);
    return chosen.map((index) => ({ index, label: labels[index], slot: slot(this.about, labels[index]) }));
  }

  /** What is seen now, in large letters, and a bar for each label. */
  answer() {
    const values = this.rows.at(-1)?.[1];
    const [label, score] = this.told.children;
    if (!values) {
      label.textContent = "…";
      return;
    }
    const { labels } = this.about;
    const lines = this.chosen = this.lines();
    if (this.captions) {
      label.textContent = this.state.active[0] ?? "…";
      label.className = "label sentence";
      score.textContent = "";
    } else if (this.measures) {
      // Of several numbers, each is large in the list.
      label.textContent = short(values[0]);
      score.textContent = labels[0];
    } else {
      let best = 0;
      for (const key in values) if (values[key] > (values[best] ?? 0) + SAME_LEVEL) best = +key;
      const { active } = this.state;
      const under = active.length > 0;
      label.textContent = under ? active.join(", ") : labels[best];
      label.className = under ? "label" : "label seen";
      label.style.color = under && active.length === 1 ? cssColor(slot(this.about, active[0])) : "";
      const value = under ? values[labels.indexOf(active[0])] ?? 0 : values[best];
      score.textContent = active.length > 1 ? "" : `${Math.round(value * 100)}%`;
    }
    const keep = new Set();
    for (const line of lines) {
      keep.add(line.index);
      this.bar(line, values[line.index] ?? (this.measures ? null : 0));
    }
    for (const [index, item] of this.items) {
      if (keep.has(index)) continue;
      item.element.remove();
      this.items.delete(index);
    }
  }

  bar({ index, label, slot: color }, value) {
    let item = this.items.get(index);
    if (!item) {
      item = { element: document.createElement("li") };
      const parts = ["i", "span", "span", "span"].map((tag) => document.createElement(tag));
      [, item.label, item.track, item.value] = parts;
      item.label.className = "label";
      item.label.textContent = item.label.title = label;
      item.track.className = "track";
      item.track.append(item.fill = document.createElement("b"));
      item.value.className = "value";
      item.element.style.setProperty("--c", cssColor(color));
      if (this.measures) item.track.remove();
      item.element.append(...(this.measures ? [parts[0], item.label, item.value] : parts));
      const after = [...this.items].filter(([other]) => other < index).map(([, other]) => other.element).at(-1);
      if (after) after.after(item.element); else this.list.prepend(item.element);
      this.items.set(index, item);
      this.items = new Map([...this.items].sort(([a], [b]) => a - b));
    }
    item.element.classList.toggle("on", this.state.active.includes(label));
    item.value.textContent = this.measures ? short(value) : `${Math.round(value * 100)}%`;
    if (!this.measures) item.fill.style.transform = `scaleX(${Math.min(1, Math.max(0, value))})`;
  }

  /** Moves the chart on; seconds since the last time it was drawn. */
  draw(at, passed, colors) {
    const newest = this.rows.length ? this.rows.at(-1)[0] : 0;
    const since = Math.max(0, at - this.arrived);
    // A file that pauses has no time of its own; before a camera the world goes on.
    const goal = newest + (this.state.live ? since : Math.min(since, 2 / this.about.rate_hz));
    if (this.now === null || Math.abs(goal - this.now) > 1.5) this.now = goal;
    this.now = Math.min(this.now + passed, goal + 0.1);
    this.now += (goal - this.now) * (1 - Math.exp(-passed / 0.4));
    const paint = (n) => (n < 0 ? colors.quiet : colors.lines[n]);
    const chosen = this.chosen ?? this.lines();
    const lines = chosen.map((line) => ({ ...line, color: paint(line.slot), thin: line.slot < 0 }));
    lines.sort((a, b) => b.thin - a.thin);
    // What is under way is known up to the newest frame only.
    const bands = this.bands.map((band) => ({ ...band, to: band.to ?? newest, color: paint(band.slot) }));
    this.chart.draw({ rows: this.rows, now: this.now, lines, bands, colors });
  }
}
