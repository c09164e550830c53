package edgecap.core;

/** Something began or ended. */
public final class Event {
  public final String label;

  /** Whether it began; it ended otherwise. */
  public final boolean start;

  /** The frame at which it was decided. */
  public final double timestampS;

  /** Smoothed probability of the label at that frame. */
  public final float score;

  public Event(String label, boolean start, double timestampS, float score) {
    this.label = label;
    this.start = start;
    this.timestampS = timestampS;
    this.score = score;
  }
}
