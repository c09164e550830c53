package edgecap.demo;

import android.graphics.ImageFormat;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.util.Size;
import android.view.Display;
import android.view.SurfaceHolder;
import java.util.Arrays;
import java.util.List;

/** One of the phone's cameras and the frame size that is taken of it. */
final class CameraChoice {
  /** Every Android camera has 640×480; it is more than the networks look at. */
  private static final int WANTED_PIXELS = 640 * 480;

  final String id;

  /** Of frames and preview, as the sensor lies. */
  final Size size;

  final CameraView view;

  private CameraChoice(String id, Size size, CameraView view) {
    this.id = id;
    this.size = size;
    this.view = view;
  }

  /**
   * The first camera on the wanted side, or else any.
   *
   * @return null where there is no camera that apps may use
   */
  static CameraChoice find(CameraManager manager, Display display, boolean wantFront)
      throws CameraAccessException {
    CameraChoice found = null;
    for (String id : manager.getCameraIdList()) {
      CameraCharacteristics about = manager.getCameraCharacteristics(id);
      Integer facing = about.get(CameraCharacteristics.LENS_FACING);
      boolean front = facing != null && facing == CameraCharacteristics.LENS_FACING_FRONT;
      Size size = size(about);
      if (size != null && (found == null || front == wantFront)) {
        found = new CameraChoice(id, size, view(about, display, front));
        if (front == wantFront) {
          return found;
        }
      }
    }
    return found;
  }

  private static CameraView view(
      CameraCharacteristics about, Display display, boolean front) {
    Integer degrees = about.get(CameraCharacteristics.SENSOR_ORIENTATION);
    Integer clock = about.get(CameraCharacteristics.SENSOR_INFO_TIMESTAMP_SOURCE);
    boolean realtime =
        clock != null && clock == CameraCharacteristics.SENSOR_INFO_TIMESTAMP_SOURCE_REALTIME;
    return new CameraView(display, degrees == null ? 0 : degrees, front, realtime);
  }

  /** The size nearest to what is wanted that frames and preview share; null if there is none. */
  private static Size size(CameraCharacteristics about) {
    StreamConfigurationMap streams =
        about.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP);
    if (streams == null) {
      return null;
    }
    Size[] frames = streams.getOutputSizes(ImageFormat.YUV_420_888);
    Size[] previews = streams.getOutputSizes(SurfaceHolder.class);
    if (frames == null || previews == null) {
      return null;
    }
    List<Size> shown = Arrays.asList(previews);
    Size nearest = null;
    for (Size size : frames) {
      if (shown.contains(size) && (nearest == null || distance(size) < distance(nearest))) {
        nearest = size;
      }
    }
    return nearest;
  }

  private static long distance(Size size) {
    return Math.abs((long) size.getWidth() * size.getHeight() - WANTED_PIXELS);
  }
}
