// The page: buttons, files and errors on one side, the session on the other.

import { checkBrowser, keepOffline, whyNoCamera } from "./browser.js";
import { palette } from "./camera.js";
import { takeDrops } from "./drop.js";
import { Engine } from "./engine.js";
import { EdgecapError, ModelFileError, SourceError } from "./errors.js";
import { fillAbout, fillSpeed, modelFacts } from "./panels.js";
import { Records } from "./records.js";
import { Session } from "./session.js";
import { CameraSource, PictureSource, VideoSource } from "./sources.js";
import { EventList, View, addNotice } from "./view.js";

const MODEL = "model.tflite", DRAW_MS = 30, FACTS_MS = 400, MOST_BYTES = 2 ** 29;
const find = (name) => document.querySelector(name);

let engine = null, loaded = null, session = null, view = null, events = null, records = null;
let colors = palette(), awake = null;
const facts = new Map();

// For the console, and for tests: what runs, and what it answered.
globalThis.edgecap = { get engine() { return engine; }, get session() { return session; }, get records() { return records; }, results: [] };

// Errors.

/** Says it on top of the page until it is closed or something new begins. */
function complain(error) {
  const known = error instanceof EdgecapError;
  if (!known) console.error(error);
  const told = known ? error.message : `Something went wrong that should not: ${error?.message ?? error}. Load the page again.`;
  find("#banner span").textContent = told[0].toUpperCase() + told.slice(1);
  find("#banner").hidden = false;
}

const calm = () => { find("#banner").hidden = true; };

/** Runs what a button starts; whatever it throws is said. */
const guarded = (work) => async (...given) => {
  calm();
  try {
    await work(...given);
  } catch (error) {
    complain(error);
  }
};

function state(name, text) {
  const told = find("#state");
  told.dataset.state = name;
  told.textContent = text;
}

function fact(name, text, good = null) {
  facts.set(name, [text, good]);
  fillAbout(find("#about"), facts);
}

// The model.

/** Checks a model file and shows it; the one before stays if it is refused. */
async function useModel(name, data) {
  const size = data.byteLength;
  const found = await engine.prepare(data);
  // What runs is ended only now: a file that is refused disturbs nothing.
  leave();
  await engine.use();
  loaded = { name, ...found };
  document.title = find("#model").textContent = found.spec.name;
  for (const [key, value] of modelFacts(name, size, found)) facts.set(key, value);
  fillAbout(find("#about"), facts);
  find("#events-panel").hidden = found.spec.task === "regression";
  find("#open-file").disabled = false;
  find("#open-camera").disabled = whyNoCamera() !== null;
  const why = whyNoCamera();
  const { task, labels, decision } = found.spec, told = labels.filter((label) => label !== decision.background);
  const shown = `${told.slice(0, 12).join(", ")}${told.length > 12 ? ` and ${told.length - 12} more` : ""}`;
  ready("Choose what it looks at",
    `${why ?? "A camera, a video, or pictures one after the other. Nothing leaves this device."}\n\n` +
    `It ${task === "regression" ? "measures" : "tells"} ${shown}.`);
  const { golden } = found;
  if (golden && golden.apart > golden.tolerance) {
    addNotice(find("#notices-panel"), "slow",
      `This browser computes the model otherwise than it was recorded: ${golden.apart.toFixed(0)} steps apart, ${golden.tolerance} allowed. Its answers may be wrong.`);
  }
}

/** A fresh view that waits. */
function ready(title, more) {
  show("");
  view.say(title, more, true);
  state("wait", "ready");
}

function show(name) {
  view = new View(loaded.spec, name);
  const place = find("#cameras");
  place.className = loaded.spec.task === "regression" ? "one numbers" : "one";
  place.replaceChildren(view.element);
  events = new EventList(find("#events"), loaded.spec);
}

async function readModel(file) {
  // Where the page could not begin for this, it is said again.
  checkBrowser();
  if (file.size > MOST_BYTES) throw new ModelFileError(`${file.name}: ${file.size} bytes is too large for a model file`);
  let data;
  try {
    data = await file.arrayBuffer();
  } catch {
    throw new ModelFileError(`${file.name} cannot be read: it is a folder, or was moved or changed. Choose it again`);
  }
  try {
    await useModel(file.name, data);
  } catch (error) {
    if (error instanceof EdgecapError) error.message = `“${file.name}”: ${error.message}`;
    throw error;
  }
}

// Sources.

async function openFiles(files) {
  if (!loaded) throw new SourceError("there is no model yet: choose a .tflite file first");
  const [first] = files;
  if (!first) return;
  const pictures = files.filter((file) => file.type.startsWith("image/"));
  if (pictures.length === files.length) return run(new PictureSource(files, loaded.spec.rate_hz));
  if (files.length > 1) throw new SourceError("expected one video, or pictures only; these are files of several kinds");
  return run(await VideoSource.open(first));
}

async function openCamera(device = "") {
  const source = await CameraSource.open(device);
  await run(source);
  await listCameras(source.device);
}

/** Names of cameras are told only once one is allowed. */
async function listCameras(chosen) {
  const all = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  const list = find("#which select");
  list.replaceChildren(...all.map(({ deviceId, label }, n) => new Option(label || `camera ${n + 1}`, deviceId, false, deviceId === chosen)));
  find("#which").hidden = all.length < 2;
}

async function run(source) {
  leave();
  show(source.name);
  records = new Records(loaded.spec);
  globalThis.edgecap.results = [];
  session = new Session(engine, loaded.spec, source, {
    picture: (frame) => view.frame(frame, source.live),
    result,
    // The reset itself ended them, not a frame.
    ends: (over) => over.forEach((event) => { view.event({ ...event, clock_s: view.clock_s }); tellEvent(event); }),
    notice: (kind, told) => addNotice(find("#notices-panel"), kind, told),
    ended,
    failed: (error) => { ended(null); complain(error); },
  });
  view.say("Waiting for the first picture");
  state(source.live ? "live" : "file", source.live ? "live" : "playing");
  buttons();
  find("#save").disabled = true;
  find("#speed-panel").hidden = true;
  stayAwake();
  await session.start();
}

function result(told) {
  const { prediction } = told;
  view.result(prediction, session.source.live);
  prediction.events.forEach(tellEvent);
  records.add(told);
  globalThis.edgecap.results.push(told);
  if (globalThis.edgecap.results.length > 5000) globalThis.edgecap.results.shift();
  find("#save").disabled = false;
  find("#speed-panel").hidden = false;
}

function tellEvent(event) {
  events.add(event, session.source.live ? new Date() : null);
}

/** The source has come to its end, or was lost. */
function ended(why) {
  if (why !== null) {
    complain(new SourceError(why));
    view.say(session.source.live ? "Camera lost" : "Stopped", why);
  }
  state("wait", why === null ? "ended" : "stopped");
  finish();
}

function finish() {
  view.rest();
  events.closeAll(session.last_s ?? 0);
  view.endBands([]);
  fillSpeed(find("#health"), session.speed, loaded.spec);
  buttons(true);
  awake?.release?.().catch(() => {});
  awake = null;
}

/** Ends what runs, if anything does. */
function leave() {
  if (session?.running) {
    session.stop();
    finish();
    state("wait", "stopped");
  }
  buttons(true);
}

function buttons(over = false) {
  const playing = Boolean(session?.running), video = playing && "resume" in session.source;
  find("#stop").hidden = !playing || (over && !video);
  find("#pause").hidden = !video || over;
  find("#again").hidden = !video;
  find("#pause").textContent = "Pause";
  if (!playing || !session.source.live) find("#which").hidden = true;
}

/** The screen of a phone stays on while something runs, where the browser can do that. */
async function stayAwake() {
  try {
    awake = await navigator.wakeLock?.request("screen");
  } catch {
    awake = null;
  }
}

// Buttons, and files that are dropped.

find("#banner button").addEventListener("click", calm);
find("#open-camera").addEventListener("click", guarded(() => openCamera(find("#which select").value)));
find("#which select").addEventListener("change", guarded((event) => openCamera(event.target.value)));
find("#open-file").addEventListener("click", () => find("#file").click());
find("#open-model").addEventListener("click", () => find("#model-file").click());
find("#save").addEventListener("click", () => records.save());
find("#stop").addEventListener("click", guarded(() => { leave(); ready("Stopped", "Choose what it looks at next."); }));
find("#again").addEventListener("click", guarded(async () => {
  session.source.video.currentTime = 0;
  await session.source.resume();
  state("file", "playing");
  buttons();
}));
find("#pause").addEventListener("click", guarded(async () => {
  const { source } = session, pausing = !source.paused;
  if (pausing) source.pause(); else await source.resume();
  state("file", pausing ? "paused" : "playing");
  find("#pause").textContent = pausing ? "Go on" : "Pause";
}));
for (const [name, use] of [["#file", (files) => openFiles(files)], ["#model-file", ([file]) => file && readModel(file)]]) {
  find(name).addEventListener("change", guarded(async ({ target }) => {
    const files = [...target.files];
    target.value = "";
    await use(files);
  }));
}

takeDrops(document.body, { models: guarded(readModel), frames: guarded(openFiles) });

// What moves.

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colors = palette(); });
let drawn = 0, counted = 0;
function animate(time) {
  requestAnimationFrame(animate);
  if (time - drawn < DRAW_MS || !view) return;
  const passed_s = Math.min((time - drawn) / 1000, 0.5);
  drawn = time;
  view.cover();
  view.draw(time / 1000, passed_s, colors);
  if (session?.running && time - counted > FACTS_MS) {
    counted = time;
    fillSpeed(find("#health"), session.speed, loaded.spec);
  }
}

// Whoever comes back to the page is not left with a screen that goes dark.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && session?.running) stayAwake();
});

async function begin() {
  fact("Camera", whyNoCamera() === null ? "yes" : "no: this page did not come over https or from this machine", whyNoCamera() === null);
  keepOffline((told, kept) => fact("Offline", told, kept), () => {
    addNotice(find("#notices-panel"), "steady", "A newer version of this page was fetched. Load the page again to see it.");
  });
  checkBrowser();
  engine = new Engine();
  const opening = engine.open();
  // Meanwhile nobody listens; it is waited for below.
  opening.catch(() => {});
  let response;
  try {
    response = await fetch(MODEL);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
  } catch (error) {
    await opening;
    throw new ModelFileError(`the model of this page cannot be fetched (${error.message}): choose a .tflite file`);
  }
  const data = await response.arrayBuffer();
  await opening;
  await useModel(MODEL, data);
}

requestAnimationFrame(animate);
begin().catch((error) => {
  state("none", "no model");
  complain(error);
});
