// The step of a model on LiteRT.js, through its own bindings.
//
// LiteRT.js 2.5.3 knows tensors of uint8, int32 and float32 only: its CompiledModel throws at the
// first int8 tensor. The WebAssembly module below it has no such limit, so tensors are made, filled
// and read here as bytes, each with the element type that the model itself gives it.

import { BrowserError, ModelFileError } from "./errors.js";
import { byteSize } from "./spec.js";

/**
 * An instance of the runtime; serves any number of models, one after the other.
 *
 * @param {(options: object) => Promise<object>} factory what LiteRT.js's script defines as ModuleFactory
 * @param {string} folder where its .wasm lies, with a slash at the end
 * @returns {Promise<object>} the WebAssembly module with its bindings
 */
export async function openRuntime(factory, folder) {
  // It tells what it does at every turn; its last words are kept for when it refuses something.
  const words = [];
  const keep = (line) => {
    words.push(line);
    if (words.length > 8) words.shift();
  };
  let module;
  try {
    module = await factory({ locateFile: (name) => folder + name, print: keep, printErr: keep });
  } catch (error) {
    throw new BrowserError(
      `LiteRT.js cannot be started: ${error?.message ?? error}. Load the page again; if that does not help, the page's ` +
      "folder litert/ is not whole on the server");
  }
  module.setupLogging();
  module.lastWords = () => words.filter((line) => line.startsWith("ERROR")).join("; ");
  return module;
}

/** One step of the graph: bytes in, bytes out; every state is carried by its name. */
export class Step {
  /**
   * @param {object} module from openRuntime
   * @param {Uint8Array} flatbuffer the model without its zip tail, already checked
   * @param {object} spec from parseSpec
   * @throws {ModelFileError} the runtime refuses the model
   */
  constructor(module, flatbuffer, spec) {
    this.module = module;
    this.owned = [];
    this.environment = this.own(module.LiteRtEnvironment.create(null));
    // The runtime reads weights where they lie: the copy stays until close().
    this.pointer = module._malloc(flatbuffer.byteLength);
    module.HEAPU8.set(flatbuffer, this.pointer);
    try {
      this.model = this.own(module.loadModel(this.environment, this.pointer, flatbuffer.byteLength));
      this.compiled = this.own(module.compileModel(this.environment, this.model, {
        environment: { liteRtEnvironment: this.environment },
        accelerator: "wasm",
        // More threads would need a page that is cut off from all others, and cost small networks time.
        cpuOptions: { numThreads: 1 },
        gpuOptions: {},
        webNNOptions: {},
      }));
      this.bind(spec);
    } catch (error) {
      this.close();
      if (error instanceof ModelFileError) throw error;
      throw new ModelFileError(`LiteRT.js refuses the model: ${module.lastWords() || (error?.message ?? error)}`);
    }
  }

  own(thing) {
    this.owned.push(thing);
    return thing;
  }

  /** Finds the signature `step`, and makes a buffer for each of its inputs. */
  bind(spec) {
    const { model } = this;
    const keys = Array.from({ length: model.getNumSignatures() }, (_, n) => model.getSignature(n));
    this.signature = keys.findIndex((signature) => signature.key() === "step");
    if (this.signature < 0) throw new ModelFileError("LiteRT.js finds no signature 'step' in the model");
    this.inputNames = texts(keys[this.signature].inputNames());
    this.outputNames = texts(keys[this.signature].outputNames());
    keys.forEach((signature) => signature.delete());
    const tensors = new Map([spec.input.tensor, spec.output.tensor, ...spec.states].map((t) => [t.name, t]));
    this.sizes = new Map([...tensors].map(([name, tensor]) => [name, byteSize(tensor)]));
    this.inputs = this.inputNames.map((name, n) => this.buffer(name, model.getInputTensorType(this.signature, n)));
  }

  buffer(name, type) {
    const { module } = this;
    const size = type.bytes();
    if (size !== this.sizes.get(name)) {
      throw new ModelFileError(`tensor '${name}': the spec says ${this.sizes.get(name)} bytes; LiteRT.js has ${size}`);
    }
    const made = module.LiteRtTensorBuffer.createManaged(
      this.environment, module.LiteRtTensorBufferType.HOST_MEMORY, type, size);
    type.delete();
    return this.own(made);
  }

  /**
   * @param {Map<string, Uint8Array>} given the image and every state, by name, as bytes
   * @returns {Map<string, Uint8Array>} the output and every next state, by name, fresh bytes
   */
  run(given) {
    const { module, inputs } = this;
    const { READ, WRITE } = module.LiteRtTensorBufferLockMode;
    this.inputNames.forEach((name, n) => {
      const pointer = inputs[n].lock(WRITE);
      module.HEAPU8.set(given.get(name), pointer);
      inputs[n].unlock();
    });
    // Only on a graphics processor is this a promise.
    const results = this.compiled.run(this.signature, inputs);
    const answers = new Map();
    results.forEach((result, n) => {
      const name = this.outputNames[n];
      const pointer = result.lock(READ);
      // A slice, and after the run: the memory may have grown and moved.
      answers.set(name, module.HEAPU8.slice(pointer, pointer + this.sizes.get(name)));
      result.unlock();
      result.delete();
    });
    return answers;
  }

  close() {
    for (const thing of this.owned.reverse()) thing.delete();
    this.owned = [];
    if (this.pointer) this.module._free(this.pointer);
    this.pointer = 0;
  }
}

function texts(vector) {
  const found = Array.from({ length: vector.size() }, (_, n) => vector.get(n));
  vector.delete();
  return found;
}
