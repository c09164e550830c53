// Results as JSON lines, as 'edgecap run --jsonl' writes them.

const MOST = 50_000;
const rounded = (value, digits) => +value.toFixed(digits);

/** Keeps what was answered, the newest of very many. */
export class Records {
  /** @param {object} spec */
  constructor(spec) {
    this.spec = spec;
    this.lines = [];
  }

  /** @param {import("./session.js").Result} result */
  add({ index, prediction, latency_ms }) {
    const { spec } = this, { values } = prediction;
    const record = { frame: index, timestamp_s: rounded(prediction.timestamp_s, 4) };
    if (latency_ms !== null) record.latency_ms = rounded(latency_ms, 2);
    const named = (form) => Object.fromEntries(spec.labels.map((label, n) => [label, form(values[n])]));
    if (spec.task === "regression") record.values = named((value) => +value.toPrecision(7));
    else {
      const events = prediction.events.map(({ label, kind, score }) => ({ label, kind, score: rounded(score, 4) }));
      Object.assign(record, {
        label: prediction.label, score: rounded(prediction.score, 4), probabilities: named((value) => rounded(value, 4)),
      }, spec.task === "multilabel" ? { active: prediction.active, events } : { event: events[0] ?? null });
    }
    record.settled = prediction.settled;
    this.lines.push(JSON.stringify(record));
    if (this.lines.length > MOST) this.lines.shift();
  }

  /** Hands the lines to the browser as a download. */
  save() {
    const address = URL.createObjectURL(new Blob(this.lines.map((line) => `${line}\n`), { type: "application/jsonl" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${this.spec.name}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}
