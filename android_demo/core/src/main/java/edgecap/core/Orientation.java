package edgecap.core;

/** Which way is up in a camera's frame. */
public final class Orientation {
  private Orientation() {}

  /**
   * Degrees clockwise that make a stored frame upright as the screen is held; not mirrored.
   *
   * <p>Source of the formula: {@code SENSOR_ORIENTATION} and {@code JPEG_ORIENTATION} in Android's
   * camera2 reference, whose device orientation is 360° less the display's rotation.
   *
   * @param sensor the camera's {@code SENSOR_ORIENTATION}: 0, 90, 180 or 270
   * @param display {@code Display.getRotation()} in degrees
   * @param front whether the camera looks at the person
   */
  public static int upright(int sensor, int display, boolean front) {
    return (front ? sensor + display : sensor - display + 360) % 360;
  }
}
