package edgecap.core;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeSet;

/** Holds a model's graph against its spec, by name, before the first step. */
final class Contract {
  private Contract() {}

  /**
   * Checks both sides of the step.
   *
   * @throws ModelException a tensor is missing, unknown, or differs from the spec in shape, dtype,
   *     scale or zero-point
   */
  static void check(ModelSpec spec, StepRunner runner) throws ModelException {
    Map<String, TensorSpec> inputs = new LinkedHashMap<>();
    Map<String, TensorSpec> outputs = new LinkedHashMap<>();
    inputs.put(spec.input.tensor.name, spec.input.tensor);
    outputs.put(spec.output.name, spec.output);
    for (TensorSpec state : spec.states) {
      if (inputs.put(state.name, state) != null || outputs.put(state.name, state) != null) {
        throw new ModelException(
            "states: " + Fields.shown(state.name) + " is the name of another tensor too");
      }
    }
    compare("inputs", inputs, runner.inputs());
    compare("outputs", outputs, runner.outputs());
  }

  private static void compare(
      String side, Map<String, TensorSpec> expected, Map<String, TensorSpec> found)
      throws ModelException {
    if (!expected.keySet().equals(found.keySet())) {
      throw new ModelException(
          side + " of '" + StepRunner.SIGNATURE + "': the spec names "
              + Fields.join(new TreeSet<>(expected.keySet())) + "; the graph has "
              + Fields.join(new TreeSet<>(found.keySet())) + ". Convert the model again");
    }
    for (Map.Entry<String, TensorSpec> entry : expected.entrySet()) {
      TensorSpec there = found.get(entry.getKey());
      if (!entry.getValue().same(there)) {
        throw new ModelException(
            side + ": " + Fields.shown(entry.getKey()) + ": the spec says " + entry.getValue()
                + "; the graph has " + there + ". Convert the model again");
      }
    }
  }
}
