package edgecap.core;

/**
 * Where the pixels of a resized row or column come from: OpenCV's INTER_LINEAR for uint8, in its
 * fixed point of 11 bits.
 *
 * <p>Source: {@code resize} in OpenCV's {@code modules/imgproc/src/resize.cpp}. Positions are
 * computed in double and cut to float, weights are rounded to multiples of 1/2048.
 */
final class LinearAxis {
  /** The two source pixels of each result. */
  final int[] first;

  final int[] second;

  /** Their weights, of 2048. */
  final int[] firstWeight;

  final int[] secondWeight;

  /**
   * Computes an axis.
   *
   * @param from pixels of the source
   * @param to pixels of the result
   * @param clamped whether a position outside the source is set to its border. OpenCV does so for
   *     columns; for rows it takes the border twice with both weights, which rounds otherwise
   */
  LinearAxis(int from, int to, boolean clamped) {
    first = new int[to];
    second = new int[to];
    firstWeight = new int[to];
    secondWeight = new int[to];
    double scale = 1.0 / ((double) to / from);
    for (int i = 0; i < to; i++) {
      float position = (float) ((i + 0.5) * scale - 0.5);
      int whole = (int) Math.floor(position);
      float part = position - whole;
      if (clamped && whole < 0) {
        whole = 0;
        part = 0f;
      } else if (clamped && whole >= from - 1) {
        whole = from - 1;
        part = 0f;
      }
      first[i] = Math.max(0, Math.min(whole, from - 1));
      second[i] = Math.max(0, Math.min(whole + 1, from - 1));
      firstWeight[i] = (int) Math.rint((1f - part) * 2048f);
      secondWeight[i] = (int) Math.rint(part * 2048f);
    }
  }
}
