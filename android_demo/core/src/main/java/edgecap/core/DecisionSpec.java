package edgecap.core;

import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** How scores become events; times in seconds. See {@link EventDetector}. */
public final class DecisionSpec {
  /** Time constant of the exponential average over probabilities; 0 for none. */
  public final double smoothingS;

  /** Smoothed score at which an event may start. */
  public final double enter;

  /** Smoothed score below which it ends; at most {@code enter}. */
  public final double leave;

  /** How long the score must have stayed at {@code enter} or above. */
  public final double minDurationS;

  /** How long after its end the same label stays silent. */
  public final double refractoryS;

  /** How long after a reset nothing is reported. */
  public final double settleS;

  /** The label that is never an event, or null. */
  public final String background;

  private final Map<String, DecisionSpec> perLabel;

  private DecisionSpec(
      Fields own, Fields all, String background, Map<String, DecisionSpec> perLabel)
      throws ModelException {
    // The defaults are those of the Python runtime's DecisionSpec.
    smoothingS = all.number("smoothing_s", 0.25);
    enter = own.number("enter", all.number("enter", 0.6));
    leave = own.number("leave", all.number("leave", 0.35));
    minDurationS = own.number("min_duration_s", all.number("min_duration_s", 0.1));
    refractoryS = own.number("refractory_s", all.number("refractory_s", 0.3));
    settleS = all.number("settle_s", 0.25);
    this.background = background;
    this.perLabel = perLabel;
    for (double seconds : new double[] {smoothingS, minDurationS, refractoryS, settleS}) {
      if (!(seconds >= 0) || Double.isInfinite(seconds)) {
        throw new ModelException("decision: expected seconds, 0 or more; got " + seconds);
      }
    }
    if (!(0 < leave && leave <= enter && enter <= 1)) {
      throw new ModelException(
          "decision: expected 0 < leave ≤ enter ≤ 1; got leave " + leave + ", enter " + enter);
    }
  }

  private DecisionSpec(DecisionSpec other) {
    smoothingS = other.smoothingS;
    enter = other.enter;
    leave = other.leave;
    minDurationS = other.minDurationS;
    refractoryS = other.refractoryS;
    settleS = other.settleS;
    background = null;
    perLabel = Collections.emptyMap();
  }

  static DecisionSpec read(Fields fields, List<String> labels) throws ModelException {
    fields.only("smoothing_s", "enter", "leave", "min_duration_s", "refractory_s", "settle_s",
        "background", "per_label");
    String background = fields.text("background", null);
    if (background != null && !labels.contains(background)) {
      throw new ModelException(
          "decision.background: " + Fields.shown(background) + " is not among the labels");
    }
    Map<String, DecisionSpec> perLabel = new HashMap<>();
    if (fields.has("per_label")) {
      Fields settings = fields.object("per_label");
      for (String label : settings.names()) {
        if (!labels.contains(label) || label.equals(background)) {
          throw new ModelException(
              "decision.per_label: " + Fields.shown(label)
                  + " is not among the labels that have events");
        }
        Fields own =
            settings.object(label).only("enter", "leave", "min_duration_s", "refractory_s");
        perLabel.put(
            label,
            new DecisionSpec(own, fields, null, Collections.<String, DecisionSpec>emptyMap()));
      }
    }
    return new DecisionSpec(fields, fields, background, perLabel);
  }

  /** The settings that hold for a label. */
  public DecisionSpec of(String label) {
    DecisionSpec own = perLabel.get(label);
    return own == null ? this : own;
  }

  /** The same settings for a detector of one label, which has no background beside it. */
  DecisionSpec alone() {
    return background == null && perLabel.isEmpty() ? this : new DecisionSpec(this);
  }

  boolean hasLabelSettings() {
    return !perLabel.isEmpty();
  }
}
