package edgecap.core;

import java.nio.ByteBuffer;

/**
 * A camera's frame → the model's image, byte for byte as the Python runtime does it.
 *
 * <p>In this order: every pixel from YUV to RGB, upright, the centre cropped (fit {@code crop}),
 * resized by {@code linear}, then int8 = u8 − 128 or float32 = (u8 − 128) · (1/127.5). Only the
 * pixels that the resize looks at are converted, which changes no byte and saves most of the work.
 *
 * <p>Not safe for two threads at once.
 */
public final class Preprocessor {
  private static final int CHANNELS = 3;

  private final InputSpec spec;
  private final ByteBuffer image;
  private final boolean real;

  // Of the last frame's size, kept from frame to frame.
  private int width;
  private int height;
  private int left;
  private int top;
  private LinearAxis columns;
  private LinearAxis rows;

  /** Two rows of the source, resized along x; {@code held} says which. */
  private final int[][] resized;

  private final int[] held = new int[2];

  public Preprocessor(InputSpec spec) {
    this.spec = spec;
    this.image = spec.tensor.allocate();
    this.real = spec.tensor.isFloat();
    this.resized = new int[2][spec.width() * CHANNELS];
  }

  /**
   * Converts a frame.
   *
   * @return {@code (1, H, W, 3)} of the input's dtype in a direct buffer, valid until the next call
   */
  public ByteBuffer image(YuvFrame frame) {
    if (frame.width() != width || frame.height() != height) {
      prepare(frame.width(), frame.height());
    }
    held[0] = held[1] = -1;
    int at = 0;
    for (int y = 0; y < spec.height(); y++) {
      int[] above = row(frame, rows.first[y], rows.second[y]);
      int aboveWeight = rows.firstWeight[y];
      int belowWeight = rows.secondWeight[y];
      // What counts for nothing need not be converted.
      int[] below = belowWeight == 0 ? above : row(frame, rows.second[y], rows.first[y]);
      for (int i = 0; i < above.length; i++) {
        int sum = ((aboveWeight * (above[i] >> 4)) >> 16) + ((belowWeight * (below[i] >> 4)) >> 16);
        put(at++, Math.min((sum + 2) >> 2, 255));
      }
    }
    image.rewind();
    return image;
  }

  private void put(int at, int value) {
    if (real) {
      // In float32 and with this factor, as NumPy computes it.
      image.putFloat(4 * at, (value - 128f) * (float) (1 / 127.5));
    } else {
      image.put(at, (byte) (value ^ 0x80));
    }
  }

  /** A row of the cropped source, resized along x; {@code other} must stay held too. */
  private int[] row(YuvFrame frame, int y, int other) {
    int place = held[0] == y ? 0 : held[1] == y ? 1 : held[0] == other ? 1 : 0;
    if (held[place] != y) {
      held[place] = y;
      resizeRow(frame, top + y, resized[place]);
    }
    return resized[place];
  }

  private void resizeRow(YuvFrame frame, int y, int[] result) {
    int at = 0;
    for (int x = 0; x < spec.width(); x++) {
      int firstWeight = columns.firstWeight[x];
      int secondWeight = columns.secondWeight[x];
      int first = frame.rgb(left + columns.first[x], y);
      int second = secondWeight == 0 ? first : frame.rgb(left + columns.second[x], y);
      for (int shift = 16; shift >= 0; shift -= 8) {
        result[at++] =
            ((first >> shift) & 0xFF) * firstWeight + ((second >> shift) & 0xFF) * secondWeight;
      }
    }
  }

  private void prepare(int newWidth, int newHeight) {
    width = newWidth;
    height = newHeight;
    left = 0;
    top = 0;
    int croppedWidth = width;
    int croppedHeight = height;
    if (spec.crop) {
      double aspect = (double) spec.width() / spec.height();
      if (width > height * aspect) {
        croppedWidth = (int) Math.max(1, Math.rint(height * aspect));
        left = (width - croppedWidth) / 2;
      } else {
        croppedHeight = (int) Math.max(1, Math.rint(width / aspect));
        top = (height - croppedHeight) / 2;
      }
    }
    columns = new LinearAxis(croppedWidth, spec.width(), true);
    rows = new LinearAxis(croppedHeight, spec.height(), false);
  }
}
