// The picture, the answer and the chart: the camera of the other page, fed from here.

import { Camera, cssColor, slot } from "./camera.js";

// A picture that has stood still for so long is not taken for a live one.
const STILL_S = 3;
const HISTORY_S = 30, MOST_EVENTS = 200, MOST_NOTICES = 50;

/** What the shared view wants to know of a model. */
const about = (spec, name) => ({
  name: spec.name, task: spec.task, labels: spec.labels, background: spec.decision.background, rate_hz: spec.rate_hz,
  enter: spec.task === "regression" ? null : spec.decision.enter, cameras: [name], history_s: HISTORY_S,
});

/** One source's picture, answer and chart. */
export class View extends Camera {
  /** @param {object} spec @param {string} name of the source */
  constructor(spec, name) {
    super(0, about(spec, name));
    this.covered = null;
    /** When the newest frame came, while a camera gives them; performance.now() in seconds. */
    this.liveSince_s = null;
    this.clock_s = 0;
    this.last_s = null;
    this.say("", "");
  }

  /** What stands over the picture; nothing with null. */
  say(title, more = "", idle = false) {
    this.covered = title === null ? null : [title, more];
    this.element.classList.toggle("idle", idle);
    this.cover();
  }

  /** Draws what stands over the picture; also where a camera has fallen silent. */
  cover() {
    const still_s = this.liveSince_s === null ? 0 : performance.now() / 1000 - this.liveSince_s;
    const told = this.covered ?? (still_s > STILL_S ? ["No picture", `for ${Math.round(still_s)} s`] : null);
    this.element.classList.toggle("stale", told !== null && !this.element.classList.contains("idle"));
    [...this.veil.children].forEach((line, n) => set(line, told?.[n] ?? ""));
    set(this.title, this.name);
  }

  frame({ image, width, height }, live) {
    if (live) this.liveSince_s = performance.now() / 1000;
    if (this.picture.width !== width || this.picture.height !== height) {
      Object.assign(this.picture, { width, height });
      this.picture.parentElement.style.setProperty("--ratio", width / height);
    }
    this.pen.drawImage(image, 0, 0);
    if (this.covered !== null) this.say(null);
  }

  /** Takes in an answer. A recording that begins anew goes on in the chart where it was. */
  result(prediction, live) {
    const { timestamp_s, values, active, events } = prediction;
    if (this.last_s !== null) this.clock_s += Math.max(0, timestamp_s - this.last_s);
    this.last_s = timestamp_s;
    for (const event of events) this.event({ ...event, clock_s: this.clock_s });
    this.take({ rows: [[this.clock_s, values]], active, live, lost: null, slow: null, idle_s: 0, picture: null });
    this.endBands(active);
  }

  /** The clock stands still: nothing comes any more. */
  rest() {
    this.liveSince_s = null;
    this.state = { ...this.state, live: false };
  }
}

/** The list of events, newest first; each shows how long it was when it is over. */
export class EventList {
  constructor(list, spec) {
    Object.assign(this, { list, spec, open: new Map() });
    list.replaceChildren();
  }

  /** @param {object} event @param {Date | null} at time of day, or null where its place in the recording counts */
  add({ label, kind, timestamp_s }, at) {
    this.close(label, timestamp_s);
    if (kind !== "start") return;
    const element = make("li", "", "now");
    element.style.setProperty("--c", cssColor(slot({ labels: this.spec.labels, background: this.spec.decision.background }, label)));
    const long = make("span", "now", "long");
    element.append(moment(timestamp_s, at), make("span", label, "what"), long);
    this.open.set(label, { element, long, timestamp_s });
    this.list.prepend(element);
    while (this.list.children.length > MOST_EVENTS) this.list.lastElementChild.remove();
  }

  close(label, timestamp_s) {
    const open = this.open.get(label);
    if (!open) return;
    open.element.classList.remove("now");
    open.long.textContent = `${Math.max(0, timestamp_s - open.timestamp_s).toFixed(1)} s`;
    this.open.delete(label);
  }

  /** Nothing is under way any more: the source has ended. */
  closeAll(timestamp_s) {
    for (const label of [...this.open.keys()]) this.close(label, timestamp_s);
  }
}

/** Adds a notice on top of the list. */
export function addNotice(panel, kind, told) {
  const list = panel.querySelector("ol"), element = make("li", "", kind);
  element.append(moment(0, new Date()), make("span", told, "told-by"));
  list.prepend(element);
  while (list.children.length > MOST_NOTICES) list.lastElementChild.remove();
  panel.hidden = false;
}

function moment(timestamp_s, at) {
  const element = document.createElement("time");
  const minutes = Math.floor(timestamp_s / 60);
  element.textContent = at ? at.toLocaleTimeString("en-GB") : `${minutes}:${(timestamp_s - 60 * minutes).toFixed(1).padStart(4, "0")}`;
  return element;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with text; whatever comes from a file is set as text, never as HTML. */
export function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}
