// One file: a TFLite flatbuffer with a zip tail. Every part is checked before a byte of it reaches
// the interpreter; the twin of edgecap/bundle.py.

import { checkContract } from "./contract.js";
import { ModelFileError } from "./errors.js";
import { isFlatbuffer, readGraph } from "./flatbuffer.js";
import { readGolden } from "./golden.js";
import { sha256 } from "./sha256.js";
import { parseSpec } from "./spec.js";
import { DEFLATED, NoZipError, STORED, ZipError, members, read } from "./ziptail.js";

const SPEC = "edgecap.json", LABELS = "labels.txt", GOLDEN = "golden.npz", CARD = "MODEL_CARD.md";
const MEMBERS = [SPEC, LABELS, GOLDEN, CARD];
const MOST_FILE = 2 ** 29, MOST_MEMBER = 2 ** 26;

/**
 * Reads a model file and checks every part of it, and the graph against the spec.
 *
 * @param {Uint8Array} data the whole file
 * @returns {Promise<{model: Uint8Array, spec: object, golden: object, card: string}>}
 * @throws {ModelFileError} damaged, or no edgecap model
 * @throws {SpecError} the spec is malformed or does not fit the graph
 */
export async function parseBundle(data) {
  if (data.length > MOST_FILE) throw new ModelFileError(`${data.length} bytes is too large for a model file`);
  let parts, size;
  try {
    [parts, size] = await readMembers(data);
  } catch (error) {
    if (error instanceof NoZipError) throw new ModelFileError(explainNoZip(data));
    if (error instanceof ZipError) throw new ModelFileError(`the zip tail is damaged: ${error.message}`);
    throw error;
  }
  const model = data.subarray(0, size);
  const spec = parseSpec(decode(parts.get(SPEC), SPEC));
  for (const [name, part] of [["model", model], ...[...parts].filter(([name]) => name !== SPEC)]) {
    if (spec.digests[name] !== await sha256(part)) {
      throw new ModelFileError(`${name} is damaged: its SHA-256 is not the one in the spec. Copy the file again`);
    }
  }
  const labels = decode(parts.get(LABELS), LABELS).split("\n").slice(0, -1);
  if (labels.length !== spec.labels.length || labels.some((label, n) => label !== spec.labels[n])) {
    throw new ModelFileError(`${LABELS} has other labels than ${SPEC}`);
  }
  checkContract(readGraph(model), spec);
  const golden = await readGolden(parts.get(GOLDEN), spec);
  return { model, spec, golden, card: decode(parts.get(CARD), CARD) };
}

async function readMembers(data) {
  const entries = members(data), parts = new Map();
  for (const name of MEMBERS) {
    const found = entries.filter((entry) => entry.name === name);
    if (found.length !== 1) {
      throw new ModelFileError(
        `expected one ${name} in the zip tail; found ${found.length}. Make the model with 'edgecap convert'`);
    }
    const [entry] = found;
    if (entry.size > MOST_MEMBER) throw new ModelFileError(`${name} claims ${entry.size} bytes; that is too large`);
    if (![STORED, DEFLATED].includes(entry.method)) {
      throw new ModelFileError(`${name}: expected a stored or deflated member of the zip`);
    }
    parts.set(name, await read(data, entry));
  }
  return [parts, Math.min(...entries.map(({ offset }) => offset))];
}

function explainNoZip(data) {
  if (isFlatbuffer(data)) {
    return "a TFLite file without an edgecap spec: a plain .tflite, or an edgecap model that was cut short. " +
      "Copy it again, or make one with 'edgecap convert'";
  }
  return "not a model: expected a .tflite file made by 'edgecap convert'";
}

function decode(bytes, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ModelFileError(`${name} is not UTF-8`);
  }
}
