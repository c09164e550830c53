package edgecap.core;

import java.util.Arrays;

/** The last so many latencies in milliseconds, and their percentiles; memory does not grow. */
public final class Latencies {
  private final float[] latest;
  private long count;

  public Latencies(int kept) {
    latest = new float[kept];
  }

  public synchronized void add(double latencyMs) {
    latest[(int) (count++ % latest.length)] = (float) latencyMs;
  }

  /** How many have been added, those that are forgotten included. */
  public synchronized long count() {
    return count;
  }

  /**
   * Percentiles by the nearest rank, so each is a latency that was measured.
   *
   * @param percents of 0 to 100
   * @return milliseconds, NaN where there is none yet
   */
  public synchronized float[] percentiles(double... percents) {
    float[] sorted = Arrays.copyOf(latest, (int) Math.min(count, latest.length));
    Arrays.sort(sorted);
    float[] found = new float[percents.length];
    for (int i = 0; i < found.length; i++) {
      int rank = (int) Math.ceil(percents[i] / 100 * sorted.length);
      found[i] = sorted.length == 0 ? Float.NaN : sorted[Math.max(0, rank - 1)];
    }
    return found;
  }
}
