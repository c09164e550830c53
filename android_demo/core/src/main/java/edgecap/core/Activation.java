package edgecap.core;

import java.nio.ByteBuffer;

/**
 * From a model's raw output to what it means: probabilities, or the numbers themselves.
 *
 * <p>The arithmetic is that of the Python runtime's {@code activation.py}, float32 where NumPy has
 * float32, so that int8 logits give the same bits and events start at the same frame.
 */
final class Activation {
  private final String task;
  private final TensorSpec output;

  /** exp(−k · scale) for integer logits of 8 bits that lie k below the largest; else null. */
  private final float[] exponentials;

  Activation(ModelSpec spec) {
    task = spec.task;
    output = spec.output;
    boolean tabled = output.dtype.equals("int8") || output.dtype.equals("uint8");
    exponentials = task.equals("classification") && tabled ? new float[256] : null;
    for (int k = 0; exponentials != null && k < 256; k++) {
      exponentials[k] = (float) Math.exp(-k * output.scale);
    }
  }

  /** {@code (labels,)} float32 of outputs {@code (1, labels)} in their own dtype. */
  float[] apply(ByteBuffer outputs) {
    float[] values = new float[output.values()];
    if (exponentials != null) {
      tabledSoftmax(outputs, values);
      return values;
    }
    for (int i = 0; i < values.length; i++) {
      values[i] = output.real(outputs, i);
    }
    if (task.equals("classification")) {
      softmax(values);
    } else if (task.equals("multilabel")) {
      sigmoid(values);
    }
    return values;
  }

  private void tabledSoftmax(ByteBuffer outputs, float[] values) {
    int largest = Integer.MIN_VALUE;
    for (int i = 0; i < values.length; i++) {
      largest = Math.max(largest, (int) output.stored(outputs, i));
    }
    for (int i = 0; i < values.length; i++) {
      values[i] = exponentials[largest - (int) output.stored(outputs, i)];
    }
    divide(values, pairwiseSum(values, 0, values.length));
  }

  private static void softmax(float[] values) {
    float largest = values[0];
    for (float value : values) {
      largest = Math.max(largest, value);
    }
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) Math.exp(values[i] - largest);
    }
    divide(values, pairwiseSum(values, 0, values.length));
  }

  /** exp(−log(1 + exp(−x))): 1 / (1 + exp(−x)) would overflow far below 0. */
  private static void sigmoid(float[] values) {
    for (int i = 0; i < values.length; i++) {
      float negative = -values[i];
      float soft = (float) Math.log1p((float) Math.exp(-Math.abs(negative)));
      values[i] = (float) Math.exp(-(Math.max(0f, negative) + soft));
    }
  }

  private static void divide(float[] values, float by) {
    for (int i = 0; i < values.length; i++) {
      values[i] /= by;
    }
  }

  /** The sum in NumPy's order: float addition depends on it ({@code pairwise_sum} in its loops). */
  private static float pairwiseSum(float[] values, int from, int count) {
    if (count < 8) {
      float sum = 0f;
      for (int i = 0; i < count; i++) {
        sum += values[from + i];
      }
      return sum;
    }
    if (count > 128) {
      int half = count / 2;
      half -= half % 8;
      return pairwiseSum(values, from, half) + pairwiseSum(values, from + half, count - half);
    }
    float[] lanes = new float[8];
    System.arraycopy(values, from, lanes, 0, 8);
    int whole = count - count % 8;
    for (int i = 8; i < whole; i++) {
      lanes[i % 8] += values[from + i];
    }
    float sum =
        ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))
            + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    for (int i = whole; i < count; i++) {
      sum += values[from + i];
    }
    return sum;
  }
}
