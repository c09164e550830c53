package edgecap.demo;

import android.content.Context;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Looper;
import android.os.SystemClock;
import edgecap.core.Lane;
import edgecap.core.Latencies;
import edgecap.core.ModelException;
import edgecap.core.ModelFile;
import edgecap.core.ModelSpec;
import edgecap.core.Prediction;
import edgecap.core.Stream;
import edgecap.core.YuvFrame;
import java.io.IOException;

/**
 * Frames in, answers out, on a thread of its own.
 *
 * <p>Newest frame wins: whenever the thread is free it takes the latest frame and lets the older
 * ones go, so that it is never behind. The model, the interpreter and the state belong to this
 * thread alone; listeners are told on the main thread, and no more once it is closed.
 */
final class Recognizer implements ImageReader.OnImageAvailableListener {
  private static final double[] PERCENTS = {50, 95, 99};
  private static final int KEPT = 500;

  /** Told on the main thread. */
  interface Listener {
    void onModel(ModelSpec spec);

    void onAnswer(Answer answer);

    /** A sentence for people; the frames after it are not answered until a model is loaded. */
    void onModelProblem(String text);
  }

  private final Context context;
  private final Listener listener;
  private final Handler main = new Handler(Looper.getMainLooper());
  private final HandlerThread thread = new HandlerThread("inference");
  private final Handler handler;
  private volatile boolean closed;

  // Touched by the inference thread only.
  private TfliteRunner runner;
  private ModelSpec spec;
  private Stream stream;
  private Lane lane;
  private Latencies steps;
  private Latencies latencies;
  private CameraView camera;
  private long arrived;
  private long seen;

  Recognizer(Context context, Listener listener) {
    this.context = context.getApplicationContext();
    this.listener = listener;
    thread.start();
    handler = new Handler(thread.getLooper());
  }

  /** Where frames are to be delivered, and what belongs to their reader is to be closed. */
  Handler handler() {
    return handler;
  }

  /** Takes frames of another camera from now on: another scene, and perhaps another clock. */
  void look(final CameraView view) {
    handler.post(
        new Runnable() {
          @Override
          public void run() {
            camera = view;
            arrived = 0;
            seen = 0;
            if (lane != null) {
              stream.reset();
              lane = new Lane(stream, spec.rateHz);
            }
          }
        });
  }

  /** Replaces the model, and with it the interpreter: so the number of threads takes effect. */
  void load(final ModelSource source, final int threads) {
    handler.post(
        new Runnable() {
          @Override
          public void run() {
            replace(source, threads);
          }
        });
  }

  /** Ends the thread once what it does is done; frees the interpreter. */
  void close() {
    closed = true;
    handler.post(
        new Runnable() {
          @Override
          public void run() {
            free();
          }
        });
    thread.quitSafely();
  }

  @Override
  public void onImageAvailable(ImageReader reader) {
    arrived++;
    // Null where an earlier call has taken this frame or a newer one: that one was dropped.
    try (Image image = latest(reader)) {
      if (image == null || closed) {
        return;
      }
      seen++;
      double timestampS = image.getTimestamp() * 1e-9;
      if (lane != null && camera != null && lane.due(timestampS)) {
        answer(image, timestampS);
      }
    }
  }

  private static Image latest(ImageReader reader) {
    try {
      return reader.acquireLatestImage();
    } catch (IllegalStateException closedReader) {
      // Closed by this thread, while word of a last frame was on its way.
      return null;
    }
  }

  private void answer(Image image, double timestampS) {
    final Prediction prediction;
    long startedNs = System.nanoTime();
    try {
      prediction = lane.step(frame(image), timestampS);
    } catch (IllegalArgumentException | IllegalStateException error) {
      free();
      problem("A frame cannot be answered: " + error.getMessage());
      return;
    }
    steps.add((System.nanoTime() - startedNs) * 1e-6);
    if (camera.realtimeClock) {
      latencies.add((SystemClock.elapsedRealtimeNanos() - image.getTimestamp()) * 1e-6);
    }
    final Answer answer =
        new Answer(
            spec,
            prediction,
            steps.percentiles(PERCENTS),
            camera.realtimeClock ? latencies.percentiles(PERCENTS) : null,
            steps.count(),
            arrived - seen,
            lane.resets());
    tell(
        new Runnable() {
          @Override
          public void run() {
            listener.onAnswer(answer);
          }
        });
  }

  private YuvFrame frame(Image image) {
    Image.Plane[] planes = image.getPlanes();
    return new YuvFrame(
        plane(planes[0]),
        plane(planes[1]),
        plane(planes[2]),
        image.getWidth(),
        image.getHeight(),
        camera.rotation());
  }

  private static YuvFrame.Plane plane(Image.Plane plane) {
    return new YuvFrame.Plane(plane.getBuffer(), plane.getRowStride(), plane.getPixelStride());
  }

  private void replace(ModelSource source, int threads) {
    free();
    try {
      ModelFile file = ModelFile.read(source.read(context));
      runner = new TfliteRunner(file.model(), threads);
      spec = file.spec;
      stream = new Stream(spec, runner);
      lane = new Lane(stream, spec.rateHz);
      steps = new Latencies(KEPT);
      latencies = new Latencies(KEPT);
      final ModelSpec loaded = spec;
      tell(
          new Runnable() {
            @Override
            public void run() {
              listener.onModel(loaded);
            }
          });
    } catch (IOException | ModelException error) {
      free();
      problem(source + ": " + error.getMessage());
    } catch (OutOfMemoryError error) {
      free();
      problem(source + ": too large for this phone's memory. Choose a smaller model");
    }
  }

  private void free() {
    lane = null;
    if (runner != null) {
      runner.close();
      runner = null;
    }
  }

  private void problem(final String text) {
    tell(
        new Runnable() {
          @Override
          public void run() {
            listener.onModelProblem(text);
          }
        });
  }

  private void tell(final Runnable news) {
    main.post(
        new Runnable() {
          @Override
          public void run() {
            if (!closed) {
              news.run();
            }
          }
        });
  }
}
