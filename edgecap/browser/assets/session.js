// One source through the model, until it is stopped: newest frame wins, time is the model's, and what
// happened is told. The twin of edgecap/lane.py.

import { SourceError } from "./errors.js";
import { RateGate, longestGap_s } from "./rate.js";
import { Speed } from "./speed.js";

/** @typedef {{index: number, prediction: object, latency_ms: number | null}} Result */

export class Session {
  /**
   * @param {import("./engine.js").Engine} engine with a model
   * @param {object} spec of that model
   * @param {object} source see sources.js
   * @param {{picture: Function, result: (result: Result) => void, notice: (kind: string, told: string) => void,
   *   ended: (why: string | null) => void, failed: (error: Error) => void}} told who is told of it
   */
  constructor(engine, spec, source, told) {
    this.engine = engine;
    this.source = source;
    this.told = told;
    this.speed = new Speed();
    this.gate = new RateGate(spec.rate_hz);
    this.longestGap_s = longestGap_s(spec.rate_hz);
    this.canvas = document.createElement("canvas");
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    this.last_s = null;
    this.missed_s = null;
    this.busy = false;
    this.running = true;
    this.index = 0;
  }

  /**
   * Runs until the source ends or is stopped.
   *
   * @throws {SourceError} it does not begin to play
   */
  async start() {
    await this.engine.reset();
    try {
      await this.source.start((frame) => this.seen(frame), (why) => this.end(why));
    } catch (error) {
      // Whoever stops a video before it plays wants no error.
      if (this.running) throw new SourceError(`${this.source.name} cannot be played: ${error.message}. Choose it again`);
    }
  }

  /** Takes in one frame; resolves when it was answered or left out. */
  async seen(frame) {
    if (!this.running) return;
    const { timestamp_s } = frame;
    this.told.picture(frame);
    this.checkTime(timestamp_s);
    this.last_s = timestamp_s;
    const index = this.index++;
    if (this.busy) {
      // Of the frames for one tick, the missing answer counts once.
      if (this.gate.isDue(timestamp_s) && this.missed_s !== this.gate.next_s) {
        this.missed_s = this.gate.next_s;
        this.speed.dropped++;
      }
      return;
    }
    if (!this.source.every && !this.gate.accepts(timestamp_s)) return;
    this.busy = true;
    try {
      await this.answer(frame, index);
    } catch (error) {
      if (this.running) this.told.failed(error);
      this.stop();
    } finally {
      this.busy = false;
    }
  }

  async answer(frame, index) {
    const began = performance.now(), { width, height, timestamp_s } = frame;
    const pixels = this.grab(frame);
    const grab = performance.now() - began;
    const prediction = await this.engine.step({ pixels, width, height, timestamp_s });
    if (!this.running) return;
    const latency_ms = this.source.live ? performance.now() - 1000 * timestamp_s : null;
    this.speed.took({ grab, preprocess: prediction.preprocess_ms, invoke: prediction.invoke_ms, latency: latency_ms });
    this.speed.events += prediction.events.filter(({ kind }) => kind === "start").length;
    this.told.result({ index, prediction, latency_ms });
  }

  /** The frame's pixels: RGBA, row by row, at its full size. */
  grab({ image, width, height }) {
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.pen.drawImage(image, 0, 0);
    return this.pen.getImageData(0, 0, width, height).data.buffer;
  }

  /** A long pause, or a recording that begins anew, makes what was seen before worthless. */
  checkTime(timestamp_s) {
    if (this.last_s === null) return;
    const passed_s = timestamp_s - this.last_s, back = !this.source.live && passed_s < 0;
    if (passed_s <= this.longestGap_s && !back) return;
    this.forget();
    if (!back) this.told.notice("gap", `no frame for ${passed_s.toFixed(1)} s: state reset`);
  }

  /** Resets the state; what is under way ends with the last frame. */
  forget() {
    const at_s = this.last_s ?? 0;
    this.gate.reset();
    this.speed.resets++;
    this.engine.reset().then(
      (labels) => this.told.ends(labels.map((label) => ({ label, kind: "end", timestamp_s: at_s, score: 0 }))),
      (error) => this.told.failed(error));
  }

  end(why) {
    if (!this.running) return;
    const again = why === null && "resume" in this.source;
    if (!again) this.stop();
    this.told.ended(why);
  }

  stop() {
    this.running = false;
    this.source.stop();
  }
}
