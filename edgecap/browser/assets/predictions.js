// What a frame is answered with, by task; the twin of edgecap/predictions.py.

import { EventDetector, largest } from "./events.js";
import { decisionOf } from "./spec.js";

/**
 * The answer to one frame.
 * @typedef {{timestamp_s: number, values: Float32Array, events: import("./events.js").Event[],
 *   settled: boolean, active: string[], label: string | null, score: number | null}} Prediction
 *   values: probabilities (labels,), or the numbers themselves (regression); label and score: the most
 *   probable one of this frame alone, null for regression; active: whose events are under way
 */

/** Makes a stream's predictions, and remembers what smoothing and events need. */
export class Decider {
  /** @param {object} spec from parseSpec */
  constructor({ task, labels, decision }) {
    this.labels = labels;
    this.task = task;
    this.clock = new SettleClock(decision.settle_s);
    /** Index of the first value that a detector looks at, and the detector. */
    this.detectors = [];
    if (task === "classification") this.detectors = [[0, labels.length, new EventDetector(labels, decision)]];
    if (task === "multilabel") {
      labels.forEach((label, n) => {
        if (label === decision.background) return;
        const own = { ...decisionOf(decision, label), background: null };
        this.detectors.push([n, 1, new EventDetector([label], own)]);
      });
    }
  }

  /** @returns {string[]} the labels of the events under way */
  get active() {
    return this.detectors.map(([, , detector]) => detector.active).filter((label) => label !== null);
  }

  /**
   * @param {Float32Array} values (labels,) @param {number} timestamp_s
   * @returns {Prediction}
   */
  predict(values, timestamp_s) {
    const settled = this.clock.settledAt(timestamp_s), events = [];
    for (const [first, count, detector] of this.detectors) {
      const event = detector.update(values.subarray(first, first + count), timestamp_s);
      if (event) events.push(event);
    }
    const best = this.task === "regression" ? -1 : largest(values);
    return {
      timestamp_s, values, events, settled, active: this.active,
      label: best < 0 ? null : this.labels[best], score: best < 0 ? null : values[best],
    };
  }

  reset() {
    this.clock.reset();
    for (const [, , detector] of this.detectors) detector.reset();
  }
}

/** Time since the first frame after a reset; a clock that is set back counts as none passed. */
class SettleClock {
  constructor(settle_s) {
    this.settle_s = settle_s;
    this.reset();
  }

  reset() {
    this.last_s = null;
    this.clock_s = 0;
  }

  settledAt(timestamp_s) {
    if (this.last_s !== null) this.clock_s += Math.max(0, timestamp_s - this.last_s);
    this.last_s = timestamp_s;
    return this.clock_s >= this.settle_s;
  }
}
