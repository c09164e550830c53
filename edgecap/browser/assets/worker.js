// The interpreter's own thread: the page stays smooth however large the model is.
//
// A classic worker, since LiteRT.js's script defines a global; everything of ours is a module.

const LITERT = "litert/litert_wasm_compat_internal.js";

let ready = null, prepared = null, model = null, stream = null;

/** The modules and the runtime, loaded once. */
function open() {
  ready ??= (async () => {
    const [{ openRuntime }, { parseBundle }, { compareGolden }, streaming] = await Promise.all(
      ["litert.js", "bundle.js", "golden.js", "streaming.js"].map((name) => import(`./${name}`)));
    const factory = async (options) => {
      importScripts(LITERT);
      return self.ModuleFactory(options);
    };
    const runtime = await openRuntime(factory, new URL("litert/", self.location.href).href);
    return { parseBundle, compareGolden, ...streaming, runtime };
  })();
  return ready;
}

const WORK = {
  open: async () => { await open(); },

  /** A whole model file → its spec, and how it repeats the recorded outputs. The one in use goes on. */
  async prepare({ data, budget_ms }) {
    const { parseBundle, compareGolden, StreamingModel, runtime } = await open();
    const bundle = await parseBundle(new Uint8Array(data));
    const next = new StreamingModel(runtime, bundle);
    try {
      const golden = compareGolden(next, bundle.golden, budget_ms);
      prepared?.close();
      prepared = next;
      return { spec: bundle.spec, card: bundle.card, golden };
    } catch (error) {
      next.close();
      throw error;
    }
  },

  /** What was prepared takes the place of the model in use. */
  async use() {
    const { Stream } = await open();
    model?.close();
    [model, prepared] = [prepared, null];
    stream = new Stream(model);
  },

  /** One frame → its answer; see Stream.step. */
  step({ pixels, width, height, timestamp_s }) {
    return stream.step(new Uint8Array(pixels), width, height, timestamp_s);
  },

  /** Forgets everything that was seen; gives the labels whose events were under way. */
  reset() {
    const active = stream?.active ?? [];
    stream?.reset();
    return active;
  },

  /** The states as they are now, as bytes. */
  states: () => stream.states,
};

// One after the other: a frame never meets a model that is being exchanged.
let turn = Promise.resolve();
self.addEventListener("message", ({ data: { id, task, given } }) => {
  turn = turn.then(async () => {
    try {
      self.postMessage({ id, result: await WORK[task](given) });
    } catch (error) {
      self.postMessage({ id, error: { name: error.name, message: error.message } });
    }
  });
});
