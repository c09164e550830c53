// How fast it goes: percentiles over the last steps, and how many frames were answered and left out.

const KEPT = 1000, WATCHED_S = 5;

/** Nearest-rank percentiles of numbers, in the order asked for. */
export function percentiles(values, shares) {
  const sorted = Float64Array.from(values).sort();
  return shares.map((share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN);
}

/** Measures of one session. Times in milliseconds. */
export class Speed {
  constructor() {
    this.answered = 0;
    this.dropped = 0;
    this.resets = 0;
    this.events = 0;
    this.parts = { grab: [], preprocess: [], invoke: [], step: [], latency: [] };
    this.at_s = [];
  }

  /** @param {{grab: number, preprocess: number, invoke: number, latency: number | null}} times */
  took(times) {
    this.answered++;
    this.at_s.push(performance.now() / 1000);
    while (this.at_s[0] < this.at_s.at(-1) - WATCHED_S) this.at_s.shift();
    const step = times.preprocess + times.invoke;
    for (const [name, value] of Object.entries({ ...times, step })) {
      if (value === null) continue;
      const kept = this.parts[name];
      kept.push(value);
      if (kept.length > KEPT) kept.shift();
    }
  }

  /** Frames answered a second, over the last five. */
  get fps() {
    const { at_s } = this;
    return at_s.length > 1 ? (at_s.length - 1) / (at_s.at(-1) - at_s[0]) : 0;
  }

  /** p50, p95 and p99 of a part, or null before it was measured. */
  of(part) {
    return this.parts[part].length ? percentiles(this.parts[part], [0.5, 0.95, 0.99]) : null;
  }
}
