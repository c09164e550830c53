package edgecap.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Makes a stream's predictions, and remembers what smoothing and events need.
 *
 * <p>A classifier has one detector over all labels, so that one event at most is under way; a
 * multi-label model has a detector for each label; regression has none.
 */
final class Decider {
  private final double settleS;
  private final boolean each;
  private final Map<Integer, EventDetector> detectors = new LinkedHashMap<>();

  // Time since the first frame after a reset; a clock that is set back counts as none passed.
  private boolean started;
  private double lastS;
  private double clockS;

  Decider(ModelSpec spec) {
    settleS = spec.decision.settleS;
    each = spec.task.equals("multilabel");
    if (spec.task.equals("classification")) {
      detectors.put(0, new EventDetector(spec.labels, spec.decision));
    }
    for (int i = 0; each && i < spec.labels.size(); i++) {
      String label = spec.labels.get(i);
      if (!label.equals(spec.decision.background)) {
        detectors.put(
            i,
            new EventDetector(
                Collections.singletonList(label), spec.decision.of(label).alone()));
      }
    }
  }

  /** Takes in one frame's {@code (labels,)} probabilities or numbers. */
  Prediction predict(float[] values, double timestampS) {
    clockS += started ? Math.max(0, timestampS - lastS) : 0;
    lastS = timestampS;
    started = true;
    List<Event> events = new ArrayList<>();
    for (Map.Entry<Integer, EventDetector> entry : detectors.entrySet()) {
      int index = entry.getKey();
      float[] seen = each ? new float[] {values[index]} : values;
      Event event = entry.getValue().update(seen, timestampS);
      if (event != null) {
        events.add(event);
      }
    }
    return new Prediction(timestampS, events, clockS >= settleS, values, active());
  }

  List<String> active() {
    List<String> labels = new ArrayList<>();
    for (EventDetector detector : detectors.values()) {
      if (detector.active() != null) {
        labels.add(detector.active());
      }
    }
    return labels;
  }

  void reset() {
    started = false;
    clockS = 0;
    for (EventDetector detector : detectors.values()) {
      detector.reset();
    }
  }
}
