// Holds a model's graph against its spec; the twin of edgecap/contract.py.

import { SpecError } from "./errors.js";
import { close } from "./spec.js";

/**
 * Checks that the step's tensors are what the spec says, and that every state is equal on both sides.
 *
 * @param {object} graph from readGraph
 * @param {object} spec from parseSpec
 * @throws {SpecError}
 */
export function checkContract(graph, spec) {
  const hidden = [...graph.hiding, ...graph.tensors.filter((t) => t.isVariable).map((t) => `variable ${t.name}`)];
  if (hidden.length) throw new SpecError(`the graph must be one step without hidden state; found ${hidden.join(", ")}`);
  if (graph.subgraphs !== 1) throw new SpecError(`the graph must be one step; found ${graph.subgraphs} subgraphs`);
  const step = graph.signatures.get("step");
  if (!step) throw new SpecError(`expected a signature 'step'; found ${[...graph.signatures.keys()].join(", ") || "none"}`);
  const states = spec.states.map(({ name }) => name);
  sameNames("inputs", [spec.input.tensor.name, ...states], [...step.inputs.keys()]);
  sameNames("outputs", [spec.output.tensor.name, ...states], [...step.outputs.keys()]);
  const at = (side, name) => graph.tensors[step[side].get(name)];
  check(at("inputs", spec.input.tensor.name), spec.input.tensor, "input");
  check(at("outputs", spec.output.tensor.name), spec.output.tensor, "output");
  for (const state of spec.states) {
    check(at("inputs", state.name), state, "state in");
    check(at("outputs", state.name), state, "state out");
  }
}

function sameNames(side, expected, found) {
  const [a, b] = [expected, found].map((names) => [...names].sort().join(", "));
  if (a !== b) throw new SpecError(`${side} of 'step': the spec names ${a}; the graph has ${b}`);
}

function check(found, expected, role) {
  const where = `${role} '${expected.name}'`;
  if (found.scales.length > 1 || found.zeroPoints.length > 1) {
    throw new SpecError(`${where}: expected one scale; found ${found.scales.length}`);
  }
  const scale = found.scales[0] ?? 0, zeroPoint = found.zeroPoints[0] ?? 0;
  const same = found.dtype === expected.dtype && String(found.shape) === String(expected.shape) &&
    close(scale, expected.scale) && zeroPoint === expected.zero_point;
  if (same) return;
  const told = (shape, dtype, s, z) => `${dtype} (${shape.join(", ")}), scale ${s}, zero-point ${z}`;
  throw new SpecError(
    `${where}: the spec says ${told(expected.shape, expected.dtype, expected.scale, expected.zero_point)}; ` +
    `the graph has ${told(found.shape, found.dtype, scale, zeroPoint)}`);
}
