// The recorded frames and outputs that travel with a model, and whether they come out the same here.

import { ModelFileError } from "./errors.js";
import { ZipError, members, read } from "./ziptail.js";

const MOST_BYTES = 2 ** 26;
const ITEM = { "|u1": 1, "|i1": 1, "<i2": 2, "<f4": 4 };
const DESCRIPTIONS = { uint8: "|u1", int8: "|i1", int16: "<i2", float32: "<f4" };

/**
 * Unpacks golden.npz.
 *
 * @returns {Promise<{frames: Uint8Array[], outputs: Map<string, Uint8Array>}>} frames of (H, W, 3) RGB;
 *   kernels → the outputs of all rounds one after the other, as bytes
 */
export async function readGolden(data, spec) {
  const arrays = new Map();
  try {
    const entries = members(data);
    if (entries.reduce((sum, { size }) => sum + size, 0) > MOST_BYTES) {
      throw new ModelFileError(`golden.npz claims to hold more than ${MOST_BYTES} bytes`);
    }
    for (const entry of entries) arrays.set(entry.name.replace(/\.npy$/, ""), readArray(await read(data, entry)));
  } catch (error) {
    if (error instanceof ZipError) throw new ModelFileError(`golden.npz is damaged: ${error.message}`);
    throw error;
  }
  const frames = arrays.get("frames"), [, height, width] = spec.input.tensor.shape;
  const size = height * width * 3;
  if (frames?.description !== "|u1" || String(frames.shape.slice(1)) !== String([height, width, 3])) {
    throw new ModelFileError(`golden.npz: expected frames (N, ${height}, ${width}, 3) uint8`);
  }
  const expected = [frames.shape[0] * spec.golden.rounds, spec.labels.length];
  const outputs = new Map();
  for (const [name, array] of arrays) {
    if (name === "frames") continue;
    if (array.description !== DESCRIPTIONS[spec.output.tensor.dtype] || String(array.shape) !== String(expected)) {
      throw new ModelFileError(`golden.npz: expected outputs (${expected.join(", ")}) ${spec.output.tensor.dtype} in '${name}'`);
    }
    outputs.set(name.replace(/^outputs_/, ""), array.bytes);
  }
  return {
    frames: Array.from({ length: frames.shape[0] }, (_, n) => frames.bytes.subarray(n * size, (n + 1) * size)),
    outputs,
  };
}

/** One .npy file of version 1.0 in C order whose header claims no more than its bytes hold. */
function readArray(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const start = data.length > 10 ? 10 + view.getUint16(8, true) : Infinity;
  const magic = String.fromCharCode(...data.subarray(0, 8));
  const header = String.fromCharCode(...data.subarray(10, start === Infinity ? 10 : start));
  const found = /^\{'descr': '([^']+)', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n$/.exec(header);
  if (magic !== "\x93NUMPY\x01\x00" || !found || !(found[1] in ITEM)) {
    throw new ModelFileError("golden.npz is damaged: an array has no header that can be read");
  }
  const shape = found[2].split(",").filter((part) => part.trim()).map(Number);
  const bytes = data.subarray(start);
  if (shape.reduce((product, side) => product * side, ITEM[found[1]]) !== bytes.length) {
    throw new ModelFileError("golden.npz is damaged: an array does not fill its bytes");
  }
  return { description: found[1], shape, bytes };
}

/**
 * Plays the recorded frames from the reset state and compares; edgecap/golden.py does the same.
 *
 * @param {object} model the StreamingModel
 * @param {object} golden from readGolden
 * @param {number} budget_ms no further frame is played after so long
 * @returns {{frames: number, of: number, apart: number, tolerance: number, kernels: string} | null} frames
 *   that were played, and the largest difference in steps of the output's grid; null where nothing was recorded
 */
export function compareGolden(model, golden, budget_ms) {
  const kernels = golden.outputs.has("xnnpack") ? "xnnpack" : [...golden.outputs.keys()][0];
  if (!kernels || !golden.frames.length) return null;
  const { spec } = model, labels = spec.labels.length, { dtype } = spec.output.tensor;
  const recorded = typed(golden.outputs.get(kernels), dtype), units = steps(recorded, labels, dtype);
  const of = golden.frames.length * spec.golden.rounds, began = performance.now();
  let states = model.initialStates(), apart = 0, frames = 0;
  for (; frames < of && (frames === 0 || performance.now() - began < budget_ms); frames++) {
    const answer = model.infer(model.imageOf(golden.frames[frames % golden.frames.length]), states);
    states = answer.states;
    typed(answer.output, dtype).forEach((value, n) => {
      apart = Math.max(apart, Math.abs(value - recorded[frames * labels + n]) / units[n]);
    });
  }
  return { frames, of, apart, tolerance: spec.golden.tolerance, kernels };
}

/** Bytes as numbers of a dtype; a copy, since they may lie at any offset. */
export function typed(bytes, dtype) {
  const kinds = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array, float32: Float32Array };
  return new kinds[dtype](bytes.slice().buffer);
}

/** How large one step of each value is: floats have the one that 8 bits would have. */
function steps(recorded, labels, dtype) {
  if (dtype !== "float32") return new Array(labels).fill(1);
  const largest = new Array(labels).fill(0);
  recorded.forEach((value, n) => { largest[n % labels] = Math.max(largest[n % labels], Math.abs(value)); });
  return largest.map((value) => Math.max(value / 128, 2 ** -126));
}
