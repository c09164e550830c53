package edgecap.demo;

import android.graphics.ImageFormat;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Looper;
import android.view.Surface;
import java.util.Arrays;

/**
 * One camera, open from the constructor until {@link #close}: its preview on a surface, its frames
 * at a recognizer.
 *
 * <p>All of Camera2 happens on a thread of its own, since opening and closing take their time.
 */
final class CameraSession {
  /** One is looked at, one is filled, one waits. */
  private static final int IMAGES = 3;

  /** So long closing may take before the screen goes on without it. */
  private static final int CLOSE_MS = 2500;

  /** Told on the main thread. */
  interface Listener {
    /** A sentence for people; the camera gives no more frames. */
    void onCameraProblem(String text);
  }

  private final CameraChoice choice;
  private final Surface preview;
  private final Recognizer recognizer;
  private final Listener listener;
  private final Handler main = new Handler(Looper.getMainLooper());
  private final HandlerThread thread = new HandlerThread("camera");
  private final Handler handler;
  private volatile boolean closed;

  // Touched by the camera thread only.
  private CameraDevice device;
  private ImageReader reader;
  /** From the wish for the camera to the first word of it; until then it cannot be closed. */
  private boolean opening;

  CameraSession(
      final CameraManager manager,
      CameraChoice choice,
      Surface preview,
      Recognizer recognizer,
      Listener listener) {
    this.choice = choice;
    this.preview = preview;
    this.recognizer = recognizer;
    this.listener = listener;
    thread.start();
    handler = new Handler(thread.getLooper());
    handler.post(
        new Runnable() {
          @Override
          public void run() {
            open(manager);
          }
        });
  }

  /** Closes the camera and waits until another may open it; frames that are looked at end well. */
  void close() {
    closed = true;
    handler.post(
        new Runnable() {
          @Override
          public void run() {
            end();
          }
        });
    try {
      thread.join(CLOSE_MS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private void open(CameraManager manager) {
    try {
      opening = true;
      manager.openCamera(choice.id, deviceCallback(), handler);
    } catch (CameraAccessException | SecurityException | IllegalArgumentException error) {
      opening = false;
      problem("The camera cannot be opened: " + error.getMessage());
    }
  }

  private CameraDevice.StateCallback deviceCallback() {
    return new CameraDevice.StateCallback() {
      @Override
      public void onOpened(CameraDevice opened) {
        opening = false;
        device = opened;
        if (closed) {
          end();
        } else {
          configure();
        }
      }

      @Override
      public void onDisconnected(CameraDevice gone) {
        lost(gone);
        problem("Another app has taken the camera. Close it and come back.");
      }

      @Override
      public void onError(CameraDevice failed, int code) {
        lost(failed);
        problem("The camera has failed (" + explain(code) + "). Close other apps that use it.");
      }
    };
  }

  private void lost(CameraDevice gone) {
    opening = false;
    gone.close();
    if (closed) {
      end();
    }
  }

  private void configure() {
    reader =
        ImageReader.newInstance(
            choice.size.getWidth(), choice.size.getHeight(), ImageFormat.YUV_420_888, IMAGES);
    reader.setOnImageAvailableListener(recognizer, recognizer.handler());
    recognizer.look(choice.view);
    try {
      final CaptureRequest.Builder request =
          device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
      request.addTarget(preview);
      request.addTarget(reader.getSurface());
      request.set(
          CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_VIDEO);
      device.createCaptureSession(
          Arrays.asList(preview, reader.getSurface()), sessionCallback(request), handler);
    } catch (CameraAccessException | IllegalStateException | IllegalArgumentException error) {
      problem("The camera does not start: " + error.getMessage());
    }
  }

  private CameraCaptureSession.StateCallback sessionCallback(final CaptureRequest.Builder request) {
    return new CameraCaptureSession.StateCallback() {
      @Override
      public void onConfigured(CameraCaptureSession session) {
        if (closed) {
          return;
        }
        try {
          session.setRepeatingRequest(request.build(), null, handler);
        } catch (CameraAccessException | IllegalStateException | IllegalArgumentException error) {
          problem("The camera does not start: " + error.getMessage());
        }
      }

      @Override
      public void onConfigureFailed(CameraCaptureSession session) {
        problem("The camera refuses " + choice.size + " frames beside the preview.");
      }
    };
  }

  /** Closes everything and ends the thread; a camera that is still opening, once it has. */
  private void end() {
    if (opening) {
      return;
    }
    if (device != null) {
      device.close();
      device = null;
    }
    if (reader != null) {
      final ImageReader old = reader;
      reader = null;
      // On the inference thread, which may be reading an image of it right now.
      recognizer
          .handler()
          .post(
              new Runnable() {
                @Override
                public void run() {
                  old.close();
                }
              });
    }
    thread.quitSafely();
  }

  private void problem(final String text) {
    main.post(
        new Runnable() {
          @Override
          public void run() {
            if (!closed) {
              listener.onCameraProblem(text);
            }
          }
        });
  }

  private static String explain(int code) {
    switch (code) {
      case CameraDevice.StateCallback.ERROR_CAMERA_IN_USE:
        return "it is in use";
      case CameraDevice.StateCallback.ERROR_MAX_CAMERAS_IN_USE:
        return "too many cameras are open";
      case CameraDevice.StateCallback.ERROR_CAMERA_DISABLED:
        return "this phone's policy has switched it off";
      default:
        return "error " + code;
    }
  }
}
