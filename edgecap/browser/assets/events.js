// Scores → events: smoothing, two thresholds, a minimum duration and a refractory period; the twin of
// edgecap/events.py, float32 where that is float32.

import { decisionOf } from "./spec.js";

/**
 * Something began or ended.
 * @typedef {{label: string, kind: "start" | "end", timestamp_s: number, score: number}} Event
 */

/** Turns the probabilities of successive frames into events; one detector per stream. */
export class EventDetector {
  /** @param {string[]} labels @param {object} decision of the spec */
  constructor(labels, decision) {
    this.labels = labels;
    this.decision = decision;
    this.of = labels.map((label) => decisionOf(decision, label));
    this.background = decision.background === null ? -1 : labels.indexOf(decision.background);
    this.reset();
  }

  /** Forgets everything; nothing is reported until `settle_s` after the next frame. */
  reset() {
    /** @type {Float32Array | null} */
    this.smoothed = null;
    // Time as the frames told it, without steps backwards: clocks are set now and then.
    this.clock_s = 0;
    this.last_s = 0;
    this.underWay = -1;
    this.candidate = -1;
    this.candidateSince_s = 0;
    this.silentUntil_s = new Map();
  }

  /** The label of the event under way, or null. */
  get active() {
    return this.underWay < 0 ? null : this.labels[this.underWay];
  }

  get settled() {
    return this.smoothed !== null && this.clock_s >= this.decision.settle_s;
  }

  /**
   * Takes in one frame.
   *
   * @param {Float32Array} probabilities (labels,)
   * @param {number} timestamp_s
   * @returns {Event | null} what this frame starts or ends
   */
  update(probabilities, timestamp_s) {
    const passed_s = this.smoothed === null ? 0 : Math.max(0, timestamp_s - this.last_s);
    this.last_s = timestamp_s;
    this.clock_s += passed_s;
    this.smooth(probabilities, passed_s);
    return this.decide(timestamp_s);
  }

  smooth(probabilities, passed_s) {
    if (this.smoothed === null) {
      this.smoothed = probabilities.slice();
      return;
    }
    const tau = this.decision.smoothing_s;
    // Rounded to float32 first, so that the last bit of exp(), which differs between libraries, is lost.
    const weight = Math.fround(tau > 0 ? 1 - Math.exp(-passed_s / tau) : 1);
    for (let n = 0; n < probabilities.length; n++) {
      const step = Math.fround(weight * Math.fround(probabilities[n] - this.smoothed[n]));
      this.smoothed[n] = this.smoothed[n] + step;
    }
  }

  decide(timestamp_s) {
    const { smoothed } = this, best = largest(smoothed);
    if (this.clock_s < this.decision.settle_s) return null;
    if (this.underWay >= 0) {
      const score = smoothed[this.underWay];
      return score >= this.of[this.underWay].leave ? null : this.end(score, timestamp_s);
    }
    const score = smoothed[best];
    if (best === this.background || score < this.of[best].enter) {
      this.candidate = -1;
      return null;
    }
    return this.consider(best, score, timestamp_s);
  }

  end(score, timestamp_s) {
    const label = this.underWay;
    this.underWay = -1;
    this.silentUntil_s.set(label, this.clock_s + this.of[label].refractory_s);
    return { label: this.labels[label], kind: "end", timestamp_s, score };
  }

  consider(best, score, timestamp_s) {
    if (best !== this.candidate) {
      this.candidate = best;
      this.candidateSince_s = this.clock_s;
    }
    if (this.clock_s - this.candidateSince_s < this.of[best].min_duration_s) return null;
    if (this.clock_s < (this.silentUntil_s.get(best) ?? -Infinity)) return null;
    this.underWay = best;
    this.candidate = -1;
    return { label: this.labels[best], kind: "start", timestamp_s, score };
  }
}

/** Where the largest value stands; the first of equal ones. */
export function largest(values) {
  let best = 0;
  for (let n = 1; n < values.length; n++) if (values[n] > values[best]) best = n;
  return best;
}
