package edgecap.core;

/**
 * Lets frames through at the model's rate and no faster, by their timestamps.
 *
 * <p>A frame that a slower camera lacks is not invented. Accepts the frames that the Python
 * runtime's {@code RateGate} accepts.
 */
final class RateGate {
  /** A frame may come this share of a period early and still count: cameras jitter. */
  private static final double EARLY = 0.25;

  private final double periodS;
  private double nextS = Double.NaN;

  RateGate(double rateHz) {
    periodS = 1.0 / rateHz;
  }

  /** Whether the frame with this timestamp is due. */
  boolean accepts(double timestampS) {
    if (!Double.isNaN(nextS)) {
      if (nextS - 3 * periodS < timestampS && timestampS < nextS - EARLY * periodS) {
        return false;
      }
      if (Math.abs(timestampS - nextS) <= periodS) {
        nextS += periodS;
        return true;
      }
    }
    // The first frame, one after a pause, or a clock that was set: the beat starts anew.
    nextS = timestampS + periodS;
    return true;
  }
}
