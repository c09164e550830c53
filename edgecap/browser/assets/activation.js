// From a model's raw output to what it means; the twin of edgecap/activation.py, in float32.

import { typed } from "./golden.js";

/**
 * The function that a model's outputs go through.
 *
 * @param {{tensor: object, activation: string}} output of the spec
 * @returns {(bytes: Uint8Array) => Float32Array} outputs (labels,) in the tensor's own dtype → what they mean
 */
export function activation({ tensor, activation: kind }) {
  const real = (bytes) => dequantize(typed(bytes, tensor.dtype), tensor);
  const tabled = tensor.dtype === "int8" || tensor.dtype === "uint8";
  if (kind === "softmax") {
    if (!tabled) return (bytes) => softmax(real(bytes));
    // 8 bits have 256 differences to the largest logit: a table is exact.
    const exponentials = Float32Array.from({ length: 256 }, (_, k) => Math.exp(-k * tensor.scale));
    return (bytes) => {
      const values = typed(bytes, tensor.dtype), largest = values.reduce((a, b) => Math.max(a, b));
      return normalised(Float32Array.from(values, (value) => exponentials[largest - value]));
    };
  }
  if (kind === "sigmoid") return (bytes) => real(bytes).map((x) => 1 / (1 + Math.exp(-x)));
  return real;
}

/** real = scale · (q − zero_point); float tensors pass unchanged. */
function dequantize(values, { dtype, scale, zero_point: zero }) {
  if (dtype === "float32") return values;
  const step = Math.fround(scale);
  return Float32Array.from(values, (q) => (q - zero) * step);
}

function softmax(real) {
  const largest = real.reduce((a, b) => Math.max(a, b));
  return normalised(real.map((x) => Math.exp(Math.fround(x - largest))));
}

function normalised(exponentials) {
  const sum = pairwiseSum(exponentials, 0, exponentials.length);
  return exponentials.map((value) => value / sum);
}

/**
 * The sum as NumPy's add.reduce makes it, so that probabilities are equal to the last bit: eight sums
 * side by side up to 128 values, halves of more (pairwise_sum in numpy/_core/src/umath/loops_utils.h.src).
 *
 * @param {Float32Array} values @param {number} from the first @param {number} count of them
 */
export function pairwiseSum(values, from, count) {
  const add = (a, b) => Math.fround(a + b);
  if (count < 8) {
    let sum = 0;
    for (let n = 0; n < count; n++) sum = add(sum, values[from + n]);
    return sum;
  }
  if (count > 128) {
    const half = Math.floor(count / 2) - (Math.floor(count / 2) % 8);
    return add(pairwiseSum(values, from, half), pairwiseSum(values, from + half, count - half));
  }
  const r = Array.from(values.subarray(from, from + 8));
  let n = 8;
  for (; n < count - (count % 8); n += 8) for (let k = 0; k < 8; k++) r[k] = add(r[k], values[from + n + k]);
  let sum = add(add(add(r[0], r[1]), add(r[2], r[3])), add(add(r[4], r[5]), add(r[6], r[7])));
  for (; n < count; n++) sum = add(sum, values[from + n]);
  return sum;
}
