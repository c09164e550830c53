package edgecap.core;

import java.util.ArrayList;
import java.util.List;

/**
 * One camera's way through the model: its rate, and what a pause does.
 *
 * <p>As the Python runtime's {@code lane.py}: a pause between frames that is longer than {@link
 * #MAX_GAP_S} and than three periods of the model's rate resets the state and ends the events that
 * were under way; a shorter one leaves them as they are.
 */
public final class Lane {
  /** Seconds. */
  public static final double MAX_GAP_S = 2.0;

  private static final int LEAST_GAP_PERIODS = 3;

  private final Stream stream;
  private final RateGate gate;
  private final double maxGapS;

  /** Ended by a pause, to be told with the next answer. */
  private final List<Event> ended = new ArrayList<>();

  private double lastS = Double.NaN;
  private int resets;

  public Lane(Stream stream, double rateHz) {
    this.stream = stream;
    this.gate = new RateGate(rateHz);
    this.maxGapS = Math.max(MAX_GAP_S, LEAST_GAP_PERIODS / rateHz);
  }

  /**
   * Looks at the time of every frame that comes, before it is converted.
   *
   * @return whether the model's rate takes it; only then is {@link #step} to be called with it
   */
  public boolean due(double timestampS) {
    if (timestampS - lastS > maxGapS) {
      for (String label : stream.active()) {
        ended.add(new Event(label, false, lastS, 0f));
      }
      stream.reset();
      resets++;
    }
    lastS = timestampS;
    return gate.accepts(timestampS);
  }

  /** Answers a frame that is due. */
  public Prediction step(YuvFrame frame, double timestampS) {
    Prediction prediction = stream.step(frame, timestampS);
    if (!ended.isEmpty()) {
      prediction = prediction.after(ended);
      ended.clear();
    }
    return prediction;
  }

  /** How often a pause has reset the state. */
  public int resets() {
    return resets;
  }
}
