// A verified model on an interpreter, and the stream that carries its state from frame to frame;
// the twin of edgecap/streaming.py.

import { activation } from "./activation.js";
import { Step } from "./litert.js";
import { Decider } from "./predictions.js";
import { Preprocessor } from "./preprocess.js";
import { byteSize } from "./spec.js";

/** A model that answers frames; the states are the caller's. */
export class StreamingModel {
  /**
   * @param {object} runtime from openRuntime
   * @param {{model: Uint8Array, spec: object}} bundle from parseBundle
   */
  constructor(runtime, bundle) {
    this.spec = bundle.spec;
    this.step = new Step(runtime, bundle.model, bundle.spec);
    this.preprocessor = new Preprocessor(bundle.spec.input);
    this.activate = activation(bundle.spec.output);
  }

  /** The states after a reset: the value that means 0 on each state's grid, which is no 0 byte. */
  initialStates() {
    return this.spec.states.map((state) => {
      const bytes = new Uint8Array(byteSize(state));
      if (state.dtype === "int16") new Int16Array(bytes.buffer).fill(state.zero_point);
      else if (state.dtype !== "float32") bytes.fill(state.zero_point & 255);
      return bytes;
    });
  }

  /** The image tensor of a frame of any size: RGBA, row by row. */
  image(pixels, width, height) {
    return this.preprocessor.run(pixels, width, height);
  }

  /** The image tensor of an (H, W, 3) picture of the model's size. */
  imageOf(rgb) {
    return this.preprocessor.imageOf(rgb);
  }

  /**
   * One step of the graph, without decisions.
   *
   * @param {Uint8Array} image its tensor's bytes
   * @param {Uint8Array[]} states in the spec's order; not changed
   * @returns {{output: Uint8Array, states: Uint8Array[]}} fresh bytes
   */
  infer(image, states) {
    const { spec } = this, given = new Map([[spec.input.tensor.name, image]]);
    spec.states.forEach(({ name }, n) => given.set(name, states[n]));
    const answers = this.step.run(given);
    return { output: answers.get(spec.output.tensor.name), states: spec.states.map(({ name }) => answers.get(name)) };
  }

  close() {
    this.step.close();
  }
}

/** Frames in, answers out; the state is carried from each frame to the next. */
export class Stream {
  /** @param {StreamingModel} model */
  constructor(model) {
    this.model = model;
    this.decider = new Decider(model.spec);
    this.reset();
  }

  /** @returns {string[]} the labels of the events under way */
  get active() {
    return this.decider.active;
  }

  /**
   * Takes in one frame.
   *
   * @param {Uint8Array | Uint8ClampedArray} pixels RGBA of the whole frame, row by row
   * @param {number} width @param {number} height in pixels
   * @param {number} timestamp_s when it was taken
   * @returns {import("./predictions.js").Prediction & {output: Uint8Array, preprocess_ms: number, invoke_ms: number}}
   */
  step(pixels, width, height, timestamp_s) {
    const began = performance.now();
    const image = this.model.image(pixels, width, height);
    const ready = performance.now();
    const { output, states } = this.model.infer(image, this.states);
    const done = performance.now();
    this.states = states;
    const prediction = this.decider.predict(this.model.activate(output), timestamp_s);
    return { ...prediction, output, preprocess_ms: ready - began, invoke_ms: done - ready };
  }

  /** Forgets everything that was seen. */
  reset() {
    this.states = this.model.initialStates();
    this.decider.reset();
  }
}
