package edgecap.core;

import java.util.Arrays;
import java.util.List;

/**
 * Scores → events: smoothing, two thresholds, a minimum duration and a refractory period.
 *
 * <p>A label other than the background starts when its smoothed probability has been at {@code
 * enter} or above for {@code minDurationS}, and ends when it falls below {@code leave}. Smoothing
 * is an exponential average whose weight follows the time between frames: 1 − exp(−Δt /
 * smoothingS). Decides as the Python runtime's {@code events.py} does, at the same frames.
 */
final class EventDetector {
  private final List<String> labels;
  private final DecisionSpec decision;
  private final int background;
  private final double[] silentUntilS;

  private float[] smoothed;
  // Time as the frames told it, without steps backwards: clocks are set now and then.
  private double clockS;
  private double lastS;
  private int active;
  private int candidate;
  private double candidateSinceS;

  /** A detector in the reset state; {@code background} of the decision may be null. */
  EventDetector(List<String> labels, DecisionSpec decision) {
    this.labels = labels;
    this.decision = decision;
    this.background = decision.background == null ? -1 : labels.indexOf(decision.background);
    this.silentUntilS = new double[labels.size()];
    reset();
  }

  /** Forgets everything; nothing is reported until {@code settleS} after the next frame. */
  void reset() {
    smoothed = null;
    clockS = 0;
    lastS = 0;
    active = -1;
    candidate = -1;
    candidateSinceS = 0;
    Arrays.fill(silentUntilS, Double.NEGATIVE_INFINITY);
  }

  /** The label of the event under way, or null. */
  String active() {
    return active >= 0 ? labels.get(active) : null;
  }

  /** Whether enough time has passed since the reset for events to be told. */
  boolean settled() {
    return smoothed != null && clockS >= decision.settleS;
  }

  /**
   * Takes in one frame.
   *
   * @param probabilities {@code (labels,)}
   * @param timestampS when it was taken; a step backwards counts as no time passed
   * @return what this frame starts or ends, or null
   */
  Event update(float[] probabilities, double timestampS) {
    double passedS = smoothed == null ? 0 : Math.max(0, timestampS - lastS);
    lastS = timestampS;
    clockS += passedS;
    smooth(probabilities, passedS);
    return decide(timestampS);
  }

  private void smooth(float[] probabilities, double passedS) {
    if (smoothed == null) {
      smoothed = probabilities.clone();
      return;
    }
    double tau = decision.smoothingS;
    float weight = (float) (tau > 0 ? 1.0 - Math.exp(-passedS / tau) : 1.0);
    for (int i = 0; i < smoothed.length; i++) {
      smoothed[i] += weight * (probabilities[i] - smoothed[i]);
    }
  }

  private Event decide(double timestampS) {
    if (clockS < decision.settleS) {
      return null;
    }
    if (active >= 0) {
      double score = smoothed[active];
      return score >= of(active).leave ? null : end(timestampS);
    }
    int best = Prediction.argmax(smoothed);
    double score = smoothed[best];
    if (best == background || score < of(best).enter) {
      candidate = -1;
      return null;
    }
    return consider(best, timestampS);
  }

  private Event end(double timestampS) {
    int label = active;
    active = -1;
    silentUntilS[label] = clockS + of(label).refractoryS;
    return new Event(labels.get(label), false, timestampS, smoothed[label]);
  }

  private Event consider(int best, double timestampS) {
    if (best != candidate) {
      candidate = best;
      candidateSinceS = clockS;
    }
    if (clockS - candidateSinceS < of(best).minDurationS || clockS < silentUntilS[best]) {
      return null;
    }
    active = best;
    candidate = -1;
    return new Event(labels.get(best), true, timestampS, smoothed[best]);
  }

  private DecisionSpec of(int label) {
    return decision.of(labels.get(label));
  }
}
