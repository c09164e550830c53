// The model's frame rate, kept by timestamps; the twin of RateGate in edgecap/rate.py.

// A frame may come this share of a period before its tick and still count for it: cameras jitter.
const EARLY = 0.25;

/** Lets frames through at the model's rate and no faster; invents none. */
export class RateGate {
  /** @param {number} rate_hz the model's */
  constructor(rate_hz) {
    this.period_s = 1 / rate_hz;
    this.reset();
  }

  reset() {
    this.next_s = null;
  }

  /** Whether a frame with this timestamp would be let through. */
  isDue(timestamp_s) {
    const { period_s, next_s } = this;
    return next_s === null || timestamp_s <= next_s - 3 * period_s || timestamp_s >= next_s - EARLY * period_s;
  }

  /** Whether the frame with this timestamp is let through; the next one is then due a period later. */
  accepts(timestamp_s) {
    if (!this.isDue(timestamp_s)) return false;
    const { period_s, next_s } = this;
    const onBeat = next_s !== null && Math.abs(timestamp_s - next_s) <= period_s;
    // The first frame, one after a pause, or a clock that was set: the beat starts anew.
    this.next_s = (onBeat ? next_s : timestamp_s) + period_s;
    return true;
  }
}

// A longer pause, and one of more than three periods, resets the state (edgecap/lane.py).
const LONGEST_GAP_S = 2, LEAST_GAP_PERIODS = 3;

/** Seconds without a frame after which what was seen before means nothing any more. */
export const longestGap_s = (rate_hz) => Math.max(LONGEST_GAP_S, LEAST_GAP_PERIODS / rate_hz);
