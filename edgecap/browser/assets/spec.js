// The contract between conversion and device, read from edgecap.json and checked field by field;
// the twin of edgecap/spec.py and edgecap/decisions.py.

import { SpecError } from "./errors.js";

export const SPEC_VERSION = 1;
/** Task → what the output's real values go through. Only what streams frame by frame. */
export const ACTIVATIONS = { classification: "softmax", multilabel: "sigmoid", regression: "linear" };
const DTYPES = { int8: 1, uint8: 1, int16: 2, float32: 4 };
const LIMITS = { int8: [-128, 127], uint8: [0, 255], int16: [-32768, 32767] };
const CAMERA_SCALE = 1 / 127.5;
const MOST_SIDE = 4096, MOST_VALUES = 2 ** 26;
const SECONDS = ["smoothing_s", "min_duration_s", "refractory_s", "settle_s"];

// Field → kind; with a question mark where it may be left out.
const FIELDS = {
  spec: {
    name: "text", task: "text", rate_hz: "number", labels: "texts", input: "object", states: "list",
    output: "object", decision: "object", golden: "object", recipe: "text", provenance: "object?", digests: "object?",
  },
  tensor: { name: "text", shape: "integers", dtype: "text", scale: "number?", zero_point: "integer?" },
  input: { tensor: "object", color: "text?", resize: "text?", fit: "text?" },
  output: { tensor: "object", activation: "text?" },
  golden: { tolerance: "integer", reason: "text", rounds: "integer?" },
  decision: {
    smoothing_s: "number?", enter: "number?", leave: "number?", min_duration_s: "number?", refractory_s: "number?",
    settle_s: "number?", background: "text?", per_label: "object?",
  },
  label: { enter: "number?", leave: "number?", min_duration_s: "number?", refractory_s: "number?" },
};
const DEFAULTS = {
  spec: { provenance: {}, digests: {} },
  tensor: { scale: 0, zero_point: 0 },
  input: { color: "rgb", resize: "linear", fit: "stretch" },
  output: { activation: "softmax" },
  golden: { rounds: 1 },
  decision: {
    smoothing_s: 0.25, enter: 0.6, leave: 0.35, min_duration_s: 0.1, refractory_s: 0.3, settle_s: 0.25,
    background: null, per_label: {},
  },
  label: {},
};

/** Bytes of a tensor: {shape, dtype}. */
export const byteSize = ({ shape, dtype }) => shape.reduce((product, side) => product * side, 1) * DTYPES[dtype];

/**
 * Reads and checks a spec.
 *
 * @param {string} text edgecap.json
 * @returns {object} with every field that edgecap/spec.py has, by the same names
 * @throws {SpecError} malformed, of another version, of a task that does not stream, or out of range
 */
export function parseSpec(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new SpecError(`the spec is not JSON: ${error.message}`);
  }
  if (!isObject(document)) throw new SpecError("the spec: expected a JSON object");
  const { edgecap: version, ...rest } = document;
  if (version !== SPEC_VERSION) {
    throw new SpecError(
      `the spec has version ${shown(version)}; this page reads version ${SPEC_VERSION}. Make the page again ` +
      "with the edgecap that made the model");
  }
  // First of all: a task that the page does not know may have fields that it does not know either.
  if (typeof rest.task === "string" && !Object.hasOwn(ACTIVATIONS, rest.task)) {
    throw new SpecError(
      `the page runs models that answer every frame: ${Object.keys(ACTIVATIONS).join(", ")}; this one's task is ` +
      `${shown(rest.task)}. Run it with the edgecap command instead`);
  }
  const spec = fields("spec", rest, "spec");
  spec.input = fields("input", spec.input, "spec.input");
  spec.output = fields("output", spec.output, "spec.output");
  spec.input.tensor = tensor(spec.input.tensor, "spec.input.tensor");
  spec.output.tensor = tensor(spec.output.tensor, "spec.output.tensor");
  spec.states = spec.states.map((state, n) => tensor(state, `spec.states[${n}]`));
  spec.golden = fields("golden", spec.golden, "spec.golden");
  spec.decision = decision(spec.decision);
  checkSpec(spec);
  return spec;
}

function checkSpec(spec) {
  const { input, output, labels } = spec, [height, width] = input.tensor.shape.slice(1);
  range("rate_hz", spec.rate_hz, 0, 1000, true);
  range("golden.tolerance", spec.golden.tolerance, 0, 255);
  range("golden.rounds", spec.golden.rounds, 1, 1000);
  if (input.tensor.shape.length !== 4 || input.tensor.shape[0] !== 1 || input.tensor.shape[3] !== 3 || Math.max(height, width) > MOST_SIDE) {
    throw new SpecError(`input: expected a shape of (1, H, W, 3); got (${input.tensor.shape.join(", ")})`);
  }
  oneOf("input: dtype", input.tensor.dtype, ["int8", "float32"]);
  if (input.tensor.dtype === "int8" && !(close(input.tensor.scale, CAMERA_SCALE) && input.tensor.zero_point === 0)) {
    throw new SpecError(
      "input: expected the camera's grid, scale 1/127.5 and zero_point 0; got " +
      `${input.tensor.scale} and ${input.tensor.zero_point}`);
  }
  oneOf("input.color", input.color, ["rgb"]);
  oneOf("input.resize", input.resize, ["linear", "area"]);
  if (input.resize !== "linear") {
    throw new SpecError(
      `the page resizes frames by 'linear' only; this model was trained with '${input.resize}'. ` +
      "Convert it from a run with resize = \"linear\", or run it with the edgecap command");
  }
  oneOf("input.fit", input.fit, ["stretch", "crop"]);
  if (output.tensor.shape.length !== 2 || output.tensor.shape[0] !== 1) {
    throw new SpecError(`output: expected a shape of (1, labels); got (${output.tensor.shape.join(", ")})`);
  }
  if (output.activation !== ACTIVATIONS[spec.task]) {
    throw new SpecError(
      `output.activation: expected ${ACTIVATIONS[spec.task]} for ${spec.task}; got ${shown(output.activation)}`);
  }
  unique("labels", labels);
  // eslint-disable-next-line no-control-regex
  if (!labels.every((label) => label.trim() && !/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(label))) {
    throw new SpecError("labels: expected printable labels without line breaks or control characters");
  }
  if (labels.length !== output.tensor.shape[1]) {
    throw new SpecError(`labels: the model gives ${output.tensor.shape[1]} numbers, but ${labels.length} labels are given`);
  }
  unique("states", spec.states.map(({ name }) => name));
  const known = [...Object.keys(spec.decision.per_label), ...(spec.decision.background === null ? [] : [spec.decision.background])];
  if (spec.task === "regression" && known.length) throw new SpecError(`decision: expected no labels for regression; got ${shown(known[0])}`);
  for (const label of known) {
    if (!labels.includes(label)) throw new SpecError(`decision: ${shown(label)} is not among the labels`);
  }
}

function tensor(value, where) {
  const made = fields("tensor", value, where);
  oneOf(`${where}: dtype`, made.dtype, Object.keys(DTYPES));
  if (!made.shape.length || made.shape.some((side) => side < 1)) {
    throw new SpecError(`${where}: expected a shape of positive sizes; got (${made.shape.join(", ")})`);
  }
  if (byteSize(made) > MOST_VALUES * DTYPES[made.dtype]) throw new SpecError(`${where}: the shape is too large to be meant`);
  if (made.dtype !== "float32" && !(made.scale > 0)) {
    throw new SpecError(`${where}: expected a positive scale for ${made.dtype}; got ${made.scale}`);
  }
  const [low, high] = LIMITS[made.dtype] ?? [made.zero_point, made.zero_point];
  range(`${where}: zero_point`, made.zero_point, low, high);
  return made;
}

function decision(value) {
  const made = fields("decision", value, "spec.decision");
  checkDecision(made, "decision");
  for (const [label, own] of Object.entries(made.per_label)) {
    const where = `decision.per_label[${shown(label)}]`;
    const given = Object.fromEntries(Object.entries(fields("label", own, where)).filter(([, v]) => v !== null));
    made.per_label[label] = given;
    checkDecision({ ...made, ...given }, where);
    if (label === made.background) throw new SpecError(`${where}: the background is never an event, so it has no settings of its own`);
  }
  return made;
}

function checkDecision(settings, where) {
  for (const name of SECONDS) {
    if (!(settings[name] >= 0)) throw new SpecError(`${where}.${name}: expected seconds, 0 or more; got ${settings[name]}`);
  }
  const { leave, enter } = settings;
  if (!(0 < leave && leave <= enter && enter <= 1)) {
    throw new SpecError(`${where}: expected 0 < leave ≤ enter ≤ 1; got leave ${leave}, enter ${enter}`);
  }
}

/** The settings that hold for a label. */
export function decisionOf(decision, label) {
  const own = Object.hasOwn(decision.per_label, label) ? decision.per_label[label] : {};
  return { ...decision, ...own, per_label: {} };
}

/** A copy of an object with its defaults, every field's name and kind checked. */
function fields(kind, value, where) {
  if (!isObject(value)) throw new SpecError(`${where}: expected an object; got ${shown(value)}`);
  const known = FIELDS[kind], made = { ...structuredClone(DEFAULTS[kind]) };
  for (const [name, one] of Object.entries(value)) {
    if (!Object.hasOwn(known, name)) {
      // What a newer edgecap may have and does not use here says nothing; what it uses must be known.
      if (one === null) continue;
      throw new SpecError(`${where}: unknown ${shown(name)}; expected one of ${Object.keys(known).join(", ")}`);
    }
    const wanted = known[name].replace("?", "");
    const mayBeNull = kind === "label" || (kind === "decision" && name === "background");
    if (!(one === null && mayBeNull) && !KINDS[wanted](one)) {
      throw new SpecError(`${where}.${name}: expected ${wanted}; got ${shown(one)}`);
    }
    made[name] = one;
  }
  for (const [name, wanted] of Object.entries(known)) {
    if (!wanted.endsWith("?") && !Object.hasOwn(made, name)) throw new SpecError(`${where}: ${name} is missing`);
  }
  return made;
}

const KINDS = {
  text: (value) => typeof value === "string",
  number: (value) => Number.isFinite(value),
  integer: Number.isSafeInteger,
  list: Array.isArray,
  texts: (value) => Array.isArray(value) && value.every(KINDS.text),
  integers: (value) => Array.isArray(value) && value.every(KINDS.integer),
  object: isObject,
};

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value from a file, safe and short enough for a message. */
export const shown = (value) => (JSON.stringify(value) ?? "nothing").slice(0, 60);

/** Equal as floats that went through JSON and float32 are. */
export const close = (a, b) => Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b));

function oneOf(where, value, allowed) {
  if (!allowed.includes(value)) throw new SpecError(`${where}: expected one of ${allowed.join(", ")}; got ${shown(value)}`);
}

function range(where, value, low, high, above = false) {
  if (!(value <= high && (above ? value > low : value >= low))) {
    throw new SpecError(`${where}: expected ${above ? `above ${low}, at most` : `${low} to`} ${high}; got ${value}`);
  }
}

function unique(where, names) {
  if (new Set(names).size !== names.length) throw new SpecError(`${where}: expected unique names; got ${names.slice(0, 12).map(shown).join(", ")}`);
}
