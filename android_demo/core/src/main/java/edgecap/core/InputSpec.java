package edgecap.core;

/** How a camera's frame becomes the graph's image: RGB, resized by OpenCV's INTER_LINEAR. */
public final class InputSpec {
  private static final int MAX_SIDE = 4096;
  private static final double CAMERA_SCALE = 1 / 127.5;

  /** {@code (1, H, W, 3)}: int8 = u8 − 128, or float32 = (u8 − 128) / 127.5. */
  public final TensorSpec tensor;

  /** Whether the frame's centre is cropped to the input's aspect first, or all of it stretched. */
  public final boolean crop;

  private InputSpec(TensorSpec tensor, boolean crop) {
    this.tensor = tensor;
    this.crop = crop;
  }

  static InputSpec read(Fields fields) throws ModelException {
    fields.only("tensor", "color", "resize", "fit");
    TensorSpec tensor = TensorSpec.read(fields.object("tensor"));
    int[] shape = tensor.shape;
    if (shape.length != 4 || shape[0] != 1 || shape[3] != 3
        || shape[1] > MAX_SIDE || shape[2] > MAX_SIDE) {
      throw new ModelException("input: expected a shape of (1, H, W, 3); got " + tensor);
    }
    boolean grid = Math.abs(tensor.scale - CAMERA_SCALE) <= 1e-6 * CAMERA_SCALE
        && tensor.zeroPoint == 0;
    if (!tensor.isFloat() && !(tensor.dtype.equals("int8") && grid)) {
      throw new ModelException(
          "input: expected float32, or int8 on the camera's grid, scale 1/127.5 and zero-point 0; "
              + "got " + tensor);
    }
    same("input.color", "rgb", fields.text("color", "rgb"));
    String resize = fields.text("resize", "linear");
    if (resize.equals("area")) {
      throw new ModelException(
          "input.resize: this app resizes by 'linear' only; the model wants 'area'. Train it with "
              + "resize = \"linear\"");
    }
    same("input.resize", "linear", resize);
    String fit = fields.text("fit", "stretch");
    if (!fit.equals("crop")) {
      same("input.fit", "stretch", fit);
    }
    return new InputSpec(tensor, fit.equals("crop"));
  }

  public int height() {
    return tensor.shape[1];
  }

  public int width() {
    return tensor.shape[2];
  }

  private static void same(String where, String expected, String found) throws ModelException {
    if (!expected.equals(found)) {
      throw new ModelException(
          where + ": expected " + expected + "; got " + Fields.shown(found));
    }
  }
}
