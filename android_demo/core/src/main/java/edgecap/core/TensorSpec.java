package edgecap.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * One tensor of the {@code step} signature.
 *
 * <p>real = scale · (q − zeroPoint) for integers; scale 0 for float32.
 */
public final class TensorSpec {
  /** Far above anything that runs on a phone; guards against a hostile file. */
  private static final long MAX_VALUES = 1L << 26;

  public final String name;

  /** Static sizes, batch first. */
  public final int[] shape;

  /** {@code int8}, {@code uint8}, {@code int16} or {@code float32}. */
  public final String dtype;

  public final double scale;
  public final int zeroPoint;

  /**
   * Describes a tensor.
   *
   * @throws ModelException no positive shape, an unknown dtype, no scale or a zero-point out of
   *     range
   */
  public TensorSpec(String name, int[] shape, String dtype, double scale, int zeroPoint)
      throws ModelException {
    this.name = name;
    this.shape = shape;
    this.dtype = dtype;
    this.scale = scale;
    this.zeroPoint = zeroPoint;
    check();
  }

  static TensorSpec read(Fields fields) throws ModelException {
    fields.only("name", "shape", "dtype", "scale", "zero_point");
    return new TensorSpec(
        fields.text("name"),
        fields.integers("shape"),
        fields.text("dtype"),
        fields.number("scale", 0.0),
        fields.integer("zero_point", 0));
  }

  /** How many numbers it holds. */
  public int values() {
    int product = 1;
    for (int side : shape) {
      product *= side;
    }
    return product;
  }

  /** How many bytes it takes. */
  public int bytes() {
    return values() * (isFloat() ? 4 : dtype.equals("int16") ? 2 : 1);
  }

  public boolean isFloat() {
    return dtype.equals("float32");
  }

  /** A direct buffer of its size in the byte order of the machine, as TensorFlow Lite wants it. */
  public ByteBuffer allocate() {
    return ByteBuffer.allocateDirect(bytes()).order(ByteOrder.nativeOrder());
  }

  /** Fills a buffer with the value that means 0: the zero-point of integers, 0 of floats. */
  public void fillWithZero(ByteBuffer buffer) {
    for (int i = 0; i < values(); i++) {
      if (isFloat()) {
        buffer.putFloat(4 * i, 0f);
      } else if (dtype.equals("int16")) {
        buffer.putShort(2 * i, (short) zeroPoint);
      } else {
        buffer.put(i, (byte) zeroPoint);
      }
    }
  }

  /** The stored number at an index, as it is for floats, before scaling for integers. */
  double stored(ByteBuffer buffer, int index) {
    switch (dtype) {
      case "float32":
        return buffer.getFloat(4 * index);
      case "int16":
        return buffer.getShort(2 * index);
      case "uint8":
        return buffer.get(index) & 0xFF;
      default:
        return buffer.get(index);
    }
  }

  /** The real number at an index: scale · (q − zeroPoint), computed in float32. */
  float real(ByteBuffer buffer, int index) {
    double stored = stored(buffer, index);
    return isFloat() ? (float) stored : (float) (stored - zeroPoint) * (float) scale;
  }

  /** Whether another one has the same shape, dtype, scale (to a millionth) and zero-point. */
  boolean same(TensorSpec other) {
    double difference = Math.abs(scale - other.scale);
    return Arrays.equals(shape, other.shape)
        && dtype.equals(other.dtype)
        && difference <= 1e-6 * Math.max(scale, other.scale)
        && zeroPoint == other.zeroPoint;
  }

  @Override
  public String toString() {
    String grid = isFloat() ? "" : ", scale " + scale + ", zero-point " + zeroPoint;
    return dtype + " " + Arrays.toString(shape) + grid;
  }

  private void check() throws ModelException {
    String where = "tensor " + Fields.shown(name);
    long product = 1;
    for (int side : shape) {
      if (side < 1) {
        throw new ModelException(
            where + ": expected a shape of positive sizes; got " + Arrays.toString(shape));
      }
      product = Math.min(product * side, Integer.MAX_VALUE);
    }
    if (shape.length == 0 || product > MAX_VALUES) {
      throw new ModelException(
          where + ": expected a shape of sensible size; got " + Arrays.toString(shape));
    }
    int low;
    int high;
    switch (dtype) {
      case "int8":
        low = -128;
        high = 127;
        break;
      case "uint8":
        low = 0;
        high = 255;
        break;
      case "int16":
        low = -32768;
        high = 32767;
        break;
      case "float32":
        return;
      default:
        throw new ModelException(
            where + ": expected dtype int8, uint8, int16 or float32; got " + Fields.shown(dtype));
    }
    if (!(scale > 0) || Double.isInfinite(scale)) {
      throw new ModelException(where + ": expected a positive scale; got " + scale);
    }
    if (zeroPoint < low || zeroPoint > high) {
      throw new ModelException(
          where + ": expected a zero-point of " + low + " to " + high + "; got " + zeroPoint);
    }
  }
}
