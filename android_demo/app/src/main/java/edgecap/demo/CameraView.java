package edgecap.demo;

import android.view.Display;
import android.view.Surface;
import edgecap.core.Orientation;

/** How a camera looks at the world: which way its frames are turned, and by which clock. */
final class CameraView {
  /** Whether time stamps are those of {@code SystemClock.elapsedRealtimeNanos()}. */
  final boolean realtimeClock;

  private final Display display;
  private final int sensorDegrees;
  private final boolean front;

  CameraView(Display display, int sensorDegrees, boolean front, boolean realtimeClock) {
    this.display = display;
    this.sensorDegrees = sensorDegrees;
    this.front = front;
    this.realtimeClock = realtimeClock;
  }

  /** Degrees clockwise that make a frame upright as the phone is held now. */
  int rotation() {
    return Orientation.upright(sensorDegrees, displayDegrees(), front);
  }

  /** Whether the preview stands upright with width and height exchanged. */
  boolean previewTurned() {
    return rotation() % 180 != 0;
  }

  private int displayDegrees() {
    switch (display.getRotation()) {
      case Surface.ROTATION_90:
        return 90;
      case Surface.ROTATION_180:
        return 180;
      case Surface.ROTATION_270:
        return 270;
      default:
        return 0;
    }
  }
}
