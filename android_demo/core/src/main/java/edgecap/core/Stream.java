package edgecap.core;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Frames in, answers out; the state is carried from each frame to the next, by name.
 *
 * <p>Not safe for two threads at once. The runner is the caller's to close.
 */
public final class Stream {
  private final ModelSpec spec;
  private final StepRunner runner;
  private final Preprocessor preprocessor;
  private final Activation activation;
  private final Decider decider;
  private final Map<String, ByteBuffer> inputs = new LinkedHashMap<>();
  private final Map<String, ByteBuffer> outputs = new LinkedHashMap<>();

  /**
   * A stream in the reset state.
   *
   * @throws ModelException the graph is not what the spec says
   */
  public Stream(ModelSpec spec, StepRunner runner) throws ModelException {
    Contract.check(spec, runner);
    this.spec = spec;
    this.runner = runner;
    this.preprocessor = new Preprocessor(spec.input);
    this.activation = new Activation(spec);
    this.decider = new Decider(spec);
    outputs.put(spec.output.name, spec.output.allocate());
    for (TensorSpec state : spec.states) {
      inputs.put(state.name, state.allocate());
      outputs.put(state.name, state.allocate());
    }
    reset();
  }

  /**
   * Takes in one frame.
   *
   * @param timestampS when it was taken, in seconds on any clock that goes forward
   */
  public Prediction step(YuvFrame frame, double timestampS) {
    inputs.put(spec.input.tensor.name, preprocessor.image(frame));
    rewind(inputs);
    rewind(outputs);
    runner.run(inputs, outputs);
    for (TensorSpec state : spec.states) {
      // What came out goes in next time, and its old buffer takes what comes out then.
      ByteBuffer next = outputs.get(state.name);
      outputs.put(state.name, inputs.get(state.name));
      inputs.put(state.name, next);
    }
    return decider.predict(activation.apply(outputs.get(spec.output.name)), timestampS);
  }

  /** Forgets everything that was seen: each state is 0 on its grid, which is its zero-point. */
  public void reset() {
    for (TensorSpec state : spec.states) {
      state.fillWithZero(inputs.get(state.name));
    }
    decider.reset();
  }

  /** The labels of the events under way; a classifier has one at most. */
  public List<String> active() {
    return decider.active();
  }

  /**
   * What the next step will be given as a state, in its own dtype.
   *
   * @throws IllegalArgumentException the model has no state of this name
   */
  public byte[] state(String name) {
    for (TensorSpec state : spec.states) {
      if (state.name.equals(name)) {
        return bytes(inputs.get(name));
      }
    }
    throw new IllegalArgumentException("no state " + Fields.shown(name));
  }

  /** The raw outputs of the last step, in their own dtype. */
  public byte[] lastOutput() {
    return bytes(outputs.get(spec.output.name));
  }

  private static void rewind(Map<String, ByteBuffer> buffers) {
    for (ByteBuffer buffer : buffers.values()) {
      buffer.rewind();
    }
  }

  private static byte[] bytes(ByteBuffer buffer) {
    ByteBuffer view = buffer.duplicate();
    view.rewind();
    byte[] copy = new byte[view.remaining()];
    view.get(copy);
    return copy;
  }
}
