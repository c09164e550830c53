// Puts what arrives on the page. Whatever comes from outside is set as text, never as HTML.

import { Camera, cssColor, palette, slot } from "./camera.js";
import { fillHealth } from "./health.js";
import { follow } from "./live.js";

const MOST_EVENTS = 200, MOST_NOTICES = 50, DRAW_MS = 30;
const find = (name) => document.querySelector(name);

let about = null, cameras = [], chosen = null, colors = palette();
let connection = "wait";

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colors = palette(); });

function make(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** When it was: the time of day before a camera, the place in the recording otherwise. */
function moment(told) {
  const live = told.camera === null || cameras[told.camera]?.state.live;
  const element = document.createElement("time");
  const at = new Date(told.at_s * 1000);
  element.title = at.toLocaleString();
  element.dateTime = at.toISOString();
  if (live) {
    const clock = at.toLocaleTimeString("en-GB");
    const today = at.toDateString() === new Date().toDateString();
    element.textContent = today ? clock : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock}`;
  } else {
    const minutes = Math.floor(told.time_s / 60);
    element.textContent = `${minutes}:${(told.time_s - 60 * minutes).toFixed(1).padStart(4, "0")}`;
  }
  return element;
}

function long(seconds) {
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

const underWay = new Map();

function close(key, told) {
  const open = underWay.get(key);
  if (!open) return;
  open.element.classList.remove("now");
  open.long.textContent = told ? long(Math.max(0, told.clock_s - open.clock_s)) : "";
  underWay.delete(key);
}

function addEvent(told) {
  const key = `${told.camera} ${told.label}`;
  cameras[told.camera]?.event(told);
  close(key, told);
  if (told.kind !== "start") return;
  const element = make("li", "", "now");
  element.style.setProperty("--c", cssColor(slot(about, told.label)));
  const duration = make("span", "now", "long");
  element.append(moment(told), make("span", told.label, "what"), duration);
  if (cameras.length > 1) element.append(make("span", about.cameras[told.camera], "where"));
  underWay.set(key, { element, long: duration, clock_s: told.clock_s, camera: told.camera, label: told.label });
  find("#events").prepend(element);
  trim(find("#events"), MOST_EVENTS);
}

function addNotice(told) {
  const element = make("li", "", told.kind);
  element.append(moment(told), make("span", told.told, "told-by"));
  if (told.camera !== null && cameras.length > 1) element.append(make("span", about.cameras[told.camera], "where"));
  find("#notices").prepend(element);
  trim(find("#notices"), MOST_NOTICES);
  find("#notices-panel").hidden = false;
}

function trim(list, most) {
  while (list.children.length > most) list.lastElementChild.remove();
}

/** A new run, or a new connection to one: everything from the start. */
function begin(told) {
  about = told.about;
  document.title = find("#model").textContent = about.name;
  cameras = about.cameras.map((_, index) => new Camera(index, about));
  for (const list of ["#events", "#notices"]) find(list).replaceChildren();
  find("#notices-panel").hidden = true;
  find("#events-panel").hidden = about.task === "regression";
  underWay.clear();
  const names = cameras.map(({ name }) => name);
  const asked = names.indexOf(decodeURIComponent(location.hash.slice(1)));
  find("#picker").hidden = names.length < 2;
  find("#picker").replaceChildren(
    pick("All", null), ...names.map((name, index) => pick(name, index)));
  choose(names.length < 2 ? 0 : asked < 0 ? null : asked);
}

function pick(name, index) {
  const button = make("button", name);
  button.type = "button";
  button.addEventListener("click", () => {
    history.replaceState(null, "", index === null ? location.pathname : `#${encodeURIComponent(name)}`);
    choose(index);
  });
  return button;
}

function choose(index) {
  chosen = index;
  const shown = cameras.filter((camera) => index === null || camera.index === index);
  const place = find("#cameras");
  place.className = shown.length > 1 ? "many" : "one";
  place.classList.toggle("numbers", about.task === "regression");
  place.replaceChildren(...shown.map(({ element }) => element));
  [...find("#picker").children].forEach((button, n) =>
    button.setAttribute("aria-pressed", String(n === (index === null ? 0 : index + 1))));
}

async function arrived(told) {
  if (told.about) begin(told);
  // First what is live, which says how times are told.
  const taken = told.cameras.map((part, index) => cameras[index].take(part));
  told.events.forEach(addEvent);
  told.notices.forEach(addNotice);
  for (const [key, { camera, label }] of underWay) {
    // A reset ends an event, and nobody tells when.
    if (!told.cameras[camera].active.includes(label)) close(key, null);
  }
  cameras.forEach((camera, index) => camera.endBands(told.cameras[index].active));
  fillHealth(find("#health"), told, about);
  await Promise.all(taken);
}

function state(now, line) {
  connection = now;
  const told = find("#state");
  if (told.dataset.state !== now) {
    told.dataset.state = now;
    told.textContent = now === "live" ? "live" : "no connection";
  }
  document.body.classList.toggle("off", now !== "live");
  const banner = find("#banner");
  banner.hidden = now === "live";
  const text = now === "live" ? "" : line ? `${line[0].toUpperCase()}${line.slice(1)}.` : "No connection. Trying again…";
  if (banner.textContent !== text) banner.textContent = text;
}

let drawn = 0;
function animate(time) {
  requestAnimationFrame(animate);
  if (time - drawn < DRAW_MS || connection !== "live") return;
  const at = performance.now() / 1000, passed = Math.min((time - drawn) / 1000, 0.5);
  drawn = time;
  for (const camera of cameras) {
    if (chosen !== null && camera.index !== chosen) continue;
    camera.cover(at);
    camera.draw(at, passed, colors);
  }
}
requestAnimationFrame(animate);

follow({
  wanted: () => ({
    cameras: chosen === null ? "" : String(chosen),
    size: chosen === null && cameras.length !== 1 ? "small" : "large",
  }),
  arrived,
  state,
});
