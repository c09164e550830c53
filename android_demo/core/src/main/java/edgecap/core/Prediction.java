package edgecap.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The answer to one frame. */
public final class Prediction {
  public final double timestampS;

  /** What began or ended with this frame, from the smoothed probabilities. */
  public final List<Event> events;

  /** Whether the state has seen enough since the last reset; before it has, there are no events. */
  public final boolean settled;

  /** {@code (labels,)}, of this frame alone: probabilities, or numbers for regression. */
  public final float[] values;

  /** The labels whose events are under way after this frame, in the model's order. */
  public final List<String> active;

  Prediction(
      double timestampS, List<Event> events, boolean settled, float[] values, List<String> active) {
    this.timestampS = timestampS;
    this.events = Collections.unmodifiableList(events);
    this.settled = settled;
    this.values = values;
    this.active = Collections.unmodifiableList(active);
  }

  /** The same answer with events before its own. */
  Prediction after(List<Event> earlier) {
    List<Event> all = new ArrayList<>(earlier);
    all.addAll(events);
    return new Prediction(timestampS, all, settled, values, active);
  }

  /** The index of the largest value, the first of several. */
  public int best() {
    return argmax(values);
  }

  static int argmax(float[] values) {
    int best = 0;
    for (int i = 1; i < values.length; i++) {
      if (values[i] > values[best]) {
        best = i;
      }
    }
    return best;
  }
}
