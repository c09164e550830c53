// The page's side of the worker: questions and answers as promises.

import * as errors from "./errors.js";

// The recorded frames are played for so long at most when a model is opened.
const GOLDEN_MS = 1500;

export class Engine {
  constructor() {
    this.worker = new Worker(new URL("worker.js", import.meta.url));
    this.asked = new Map();
    this.number = 0;
    /** Why the thread answers no more, or null. */
    this.dead = null;
    this.worker.addEventListener("message", ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.asked.get(id);
      this.asked.delete(id);
      if (error) reject(revive(error)); else resolve(result);
    });
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.dead = new errors.BrowserError(
        `the interpreter's thread has ended: ${event.message || "its script could not be loaded"}. Load the page again`);
      for (const { reject } of this.asked.values()) reject(this.dead);
      this.asked.clear();
    });
  }

  ask(task, given = {}, transfer = []) {
    if (this.dead) return Promise.reject(this.dead);
    return new Promise((resolve, reject) => {
      const id = this.number++;
      this.asked.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, given }, transfer);
    });
  }

  /** Loads the runtime, so that the first model need not wait for it. */
  open() {
    return this.ask("open");
  }

  /**
   * Checks a model file and readies it; the model in use goes on until `use()`.
   *
   * @param {ArrayBuffer} data the whole file
   * @returns {Promise<{spec: object, card: string, golden: object | null}>}
   */
  prepare(data) {
    return this.ask("prepare", { data, budget_ms: GOLDEN_MS });
  }

  /** Makes what was prepared the model that answers, in the reset state. */
  use() {
    return this.ask("use");
  }

  /** Checks a model file and makes it the one that answers; see `prepare`. */
  async load(data) {
    const found = await this.prepare(data);
    await this.use();
    return found;
  }

  /**
   * @param {{pixels: ArrayBuffer, width: number, height: number, timestamp_s: number}} frame RGBA, handed over
   * @returns {Promise<object>} see Stream.step
   */
  step(frame) {
    return this.ask("step", frame, [frame.pixels]);
  }

  /** Forgets what was seen; gives the labels whose events were under way. */
  reset() {
    return this.ask("reset");
  }

  /** @returns {Promise<Uint8Array[]>} the states as they are now, in the spec's order */
  states() {
    return this.ask("states");
  }
}

/** An error that came from the other thread, as one of its class. */
function revive({ name, message }) {
  return new (Object.hasOwn(errors, name) ? errors[name] : Error)(message);
}
