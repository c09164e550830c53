package edgecap.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What a model expects, gives and carries: {@code edgecap.json}, version 1.
 *
 * <p>Reads what the Python runtime's {@code spec.py} writes for the tasks that stream. Everything
 * that this runtime must know stands here; nothing is read off the graph by position.
 */
public final class ModelSpec {
  private static final int VERSION = 1;
  private static final Map<String, String> ACTIVATIONS = activations();

  public final String name;

  /** {@code classification}, {@code multilabel} or {@code regression}. */
  public final String task;

  /** Frames a second that the model was trained at. */
  public final double rateHz;

  /** One per output. */
  public final List<String> labels;

  public final InputSpec input;

  /** The carried states, each with this name on both sides of the step. */
  public final List<TensorSpec> states;

  /** {@code (1, labels)}: logits, or the numbers themselves (regression). */
  public final TensorSpec output;

  public final DecisionSpec decision;

  private final Fields digests;

  /**
   * Reads and checks a spec.
   *
   * @throws ModelException no JSON, another version, a task that does not stream here, or a field
   *     that is missing, unknown, of the wrong type or out of range
   */
  static ModelSpec parse(String json) throws ModelException {
    return new ModelSpec(new Fields(Json.parse(json), "spec"));
  }

  private ModelSpec(Fields fields) throws ModelException {
    int version = fields.integer("edgecap", 0);
    if (version != VERSION) {
      throw new ModelException(
          "the spec has version " + version + "; this app reads version " + VERSION
              + ". Convert the model again, or install a newer app");
    }
    task = fields.text("task");
    if (!ACTIVATIONS.containsKey(task)) {
      // Before its fields, which another task may have of its own.
      throw new ModelException(
          "the model's task is " + Fields.shown(task) + "; this app runs "
              + Fields.join(ACTIVATIONS.keySet()) + ". Choose another model");
    }
    fields.only("edgecap", "name", "task", "rate_hz", "labels", "input", "states", "output",
        "decision", "golden", "recipe", "provenance", "digests");
    name = fields.text("name");
    rateHz = fields.number("rate_hz");
    if (!(rateHz > 0 && rateHz <= 1000)) {
      throw new ModelException("rate_hz: expected above 0, at most 1000; got " + rateHz);
    }
    labels = Collections.unmodifiableList(fields.texts("labels"));
    checkLabels();
    input = InputSpec.read(fields.object("input"));
    states = Collections.unmodifiableList(readStates(fields));
    output = readOutput(fields.object("output"));
    decision = DecisionSpec.read(fields.object("decision"), labels);
    if (task.equals("regression")
        && (decision.background != null || decision.hasLabelSettings())) {
      throw new ModelException("decision: expected no settings of labels for regression");
    }
    digests = fields.object("digests");
  }

  /** SHA-256 of a part of the file, in hexadecimal. */
  String digest(String part) throws ModelException {
    return digests.text(part);
  }

  private static List<TensorSpec> readStates(Fields fields) throws ModelException {
    List<TensorSpec> states = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Fields state : fields.objects("states")) {
      TensorSpec tensor = TensorSpec.read(state);
      if (!names.add(tensor.name)) {
        throw new ModelException(
            "states: expected unique names; got " + Fields.shown(tensor.name) + " twice");
      }
      states.add(tensor);
    }
    return states;
  }

  private TensorSpec readOutput(Fields fields) throws ModelException {
    fields.only("tensor", "activation");
    String activation = fields.text("activation", "softmax");
    if (!activation.equals(ACTIVATIONS.get(task))) {
      throw new ModelException(
          "output.activation: expected " + ACTIVATIONS.get(task) + " for " + task + "; got "
              + Fields.shown(activation));
    }
    TensorSpec tensor = TensorSpec.read(fields.object("tensor"));
    if (tensor.shape.length != 2 || tensor.shape[0] != 1) {
      throw new ModelException("output: expected a shape of (1, labels); got " + tensor);
    }
    if (tensor.shape[1] != labels.size()) {
      throw new ModelException(
          "labels: the model gives " + tensor.shape[1] + " numbers, but " + labels.size()
              + " labels are given");
    }
    return tensor;
  }

  private void checkLabels() throws ModelException {
    if (new HashSet<>(labels).size() != labels.size()) {
      throw new ModelException("labels: expected unique labels");
    }
    for (String label : labels) {
      if (label.trim().isEmpty() || !printable(label)) {
        throw new ModelException(
            "labels: expected printable labels without line breaks or control characters");
      }
    }
  }

  private static boolean printable(String text) {
    for (int at = 0; at < text.length(); at += Character.charCount(text.codePointAt(at))) {
      switch (Character.getType(text.codePointAt(at))) {
        case Character.CONTROL:
        case Character.FORMAT:
        case Character.SURROGATE:
        case Character.PRIVATE_USE:
        case Character.LINE_SEPARATOR:
        case Character.PARAGRAPH_SEPARATOR:
          return false;
        default:
          break;
      }
    }
    return true;
  }

  private static Map<String, String> activations() {
    Map<String, String> found = new LinkedHashMap<>();
    found.put("classification", "softmax");
    found.put("multilabel", "sigmoid");
    found.put("regression", "linear");
    return found;
  }
}
