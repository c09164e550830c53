package edgecap.core;

import java.nio.ByteBuffer;

/**
 * One frame of a camera, as {@code YUV_420_888} gives it: three planes with their strides, and the
 * rotation that makes it upright.
 *
 * <p>The chroma planes have half the width and height, rounded up; a sample holds for its 2×2
 * pixels. Colour is BT.601 over the full range, as in JFIF, which is what Android's cameras give;
 * in integers, with arithmetic shifts, for chroma centred on 0:
 *
 * <pre>
 * R = clamp(Y + ((91881·V + 32768) ≫ 16))
 * G = clamp(Y − ((22554·U + 46802·V + 32768) ≫ 16))
 * B = clamp(Y + ((116130·U + 32768) ≫ 16))
 * </pre>
 *
 * <p>The factors are 1.402, 0.344136, 0.714136 and 1.772 in steps of 1/65536. The test vectors are
 * made with the same formula in NumPy ({@code tests/android_vectors.py}).
 */
public final class YuvFrame {
  private final Plane luma;
  private final Plane u;
  private final Plane v;
  private final int rotation;
  private final int storedWidth;
  private final int storedHeight;

  /** One plane; the buffer is read from its position on and not moved. */
  public static final class Plane {
    final ByteBuffer buffer;
    final int start;
    final int rowStride;
    final int pixelStride;

    /**
     * Describes a plane.
     *
     * @param rowStride bytes from one row to the next
     * @param pixelStride bytes from one pixel to the next: 1, or 2 where U and V are interleaved
     */
    public Plane(ByteBuffer buffer, int rowStride, int pixelStride) {
      this.buffer = buffer;
      this.start = buffer.position();
      this.rowStride = rowStride;
      this.pixelStride = pixelStride;
    }

    int at(int x, int y) {
      return buffer.get(start + y * rowStride + x * pixelStride) & 0xFF;
    }

    void check(String name, int width, int height) {
      // The last row may end with its last pixel, without the padding of the others.
      long needed = (long) (height - 1) * rowStride + (long) (width - 1) * pixelStride + 1;
      if (pixelStride < 1 || rowStride < (width - 1) * pixelStride + 1
          || buffer.remaining() < needed) {
        throw new IllegalArgumentException(
            "plane " + name + ": expected " + width + "×" + height + " pixels; got "
                + buffer.remaining() + " bytes with row stride " + rowStride
                + " and pixel stride " + pixelStride);
      }
    }
  }

  /**
   * A frame of {@code width}×{@code height} pixels as stored.
   *
   * @param rotation degrees clockwise that make it upright: 0, 90, 180 or 270
   * @throws IllegalArgumentException a plane is too small for the size, or another rotation
   */
  public YuvFrame(Plane luma, Plane u, Plane v, int width, int height, int rotation) {
    if (width < 1 || height < 1) {
      throw new IllegalArgumentException("frame: expected a size; got " + width + "×" + height);
    }
    if (rotation != 0 && rotation != 90 && rotation != 180 && rotation != 270) {
      throw new IllegalArgumentException(
          "rotation: expected 0, 90, 180 or 270 degrees; got " + rotation);
    }
    luma.check("Y", width, height);
    u.check("U", (width + 1) / 2, (height + 1) / 2);
    v.check("V", (width + 1) / 2, (height + 1) / 2);
    this.luma = luma;
    this.u = u;
    this.v = v;
    this.rotation = rotation;
    this.storedWidth = width;
    this.storedHeight = height;
  }

  /** Upright. */
  public int width() {
    return rotation % 180 == 0 ? storedWidth : storedHeight;
  }

  /** Upright. */
  public int height() {
    return rotation % 180 == 0 ? storedHeight : storedWidth;
  }

  /** The upright pixel in column x, row y as {@code 0xRRGGBB}. */
  int rgb(int x, int y) {
    switch (rotation) {
      case 0:
        return stored(x, y);
      case 90:
        return stored(y, storedHeight - 1 - x);
      case 180:
        return stored(storedWidth - 1 - x, storedHeight - 1 - y);
      default:
        return stored(storedWidth - 1 - y, x);
    }
  }

  private int stored(int x, int y) {
    int bright = luma.at(x, y);
    int blue = u.at(x >> 1, y >> 1) - 128;
    int red = v.at(x >> 1, y >> 1) - 128;
    int r = clamp(bright + ((91881 * red + 32768) >> 16));
    int g = clamp(bright - ((22554 * blue + 46802 * red + 32768) >> 16));
    int b = clamp(bright + ((116130 * blue + 32768) >> 16));
    return r << 16 | g << 8 | b;
  }

  private static int clamp(int value) {
    return value < 0 ? 0 : Math.min(value, 255);
  }
}
