package edgecap.core;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.Map;

/**
 * The test vectors that Python writes: {@code python -m tests.android_vectors FOLDER}, in the
 * repository's root. The property {@code edgecap.vectors} names the folder.
 */
final class Vectors {
  private Vectors() {}

  static Path folder() {
    String folder = System.getProperty("edgecap.vectors");
    if (folder == null) {
      throw new IllegalStateException(
          "set -Dedgecap.vectors to a folder written by 'python -m tests.android_vectors FOLDER'");
    }
    return Paths.get(folder);
  }

  /** The cases of one kind, as {@code vectors.json} has them. */
  @SuppressWarnings("unchecked")
  static List<Map<String, Object>> cases(String kind) throws Exception {
    String text = new String(bytes("vectors.json"), ZipTail.UTF_8);
    Map<String, Object> all = (Map<String, Object>) Json.parse(text);
    return (List<Map<String, Object>>) all.get(kind);
  }

  static byte[] bytes(Object name) throws IOException {
    return Files.readAllBytes(folder().resolve((String) name));
  }

  /** A file in a direct buffer, as the camera and TensorFlow Lite give and take them. */
  static ByteBuffer direct(Object name) throws IOException {
    byte[] data = bytes(name);
    ByteBuffer buffer = ByteBuffer.allocateDirect(data.length).order(ByteOrder.nativeOrder());
    buffer.put(data);
    buffer.rewind();
    return buffer;
  }

  static float[] floats(Object name) throws IOException {
    ByteBuffer data = ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN);
    float[] found = new float[data.remaining() / 4];
    data.asFloatBuffer().get(found);
    return found;
  }

  static double[] doubles(Object name) throws IOException {
    ByteBuffer data = ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN);
    double[] found = new double[data.remaining() / 8];
    data.asDoubleBuffer().get(found);
    return found;
  }

  static int number(Map<String, Object> of, String name) {
    return ((Long) of.get(name)).intValue();
  }

  /** A frame from {@code y}, {@code u}, {@code v} (files), sizes, strides and rotation. */
  static YuvFrame frame(Map<String, Object> of) throws IOException {
    return frame(of, direct(of.get("y")), direct(of.get("u")), direct(of.get("v")));
  }

  static YuvFrame frame(Map<String, Object> of, ByteBuffer y, ByteBuffer u, ByteBuffer v) {
    int chromaStride = number(of, "chroma_row_stride");
    int chromaPixel = number(of, "chroma_pixel_stride");
    return new YuvFrame(
        new YuvFrame.Plane(y, number(of, "y_row_stride"), 1),
        new YuvFrame.Plane(u, chromaStride, chromaPixel),
        new YuvFrame.Plane(v, chromaStride, chromaPixel),
        number(of, "width"),
        number(of, "height"),
        number(of, "rotation"));
  }

  /** What a prediction tells, as the vectors write it: {@code start:label}, {@code end:label}. */
  static String told(Prediction prediction) {
    StringBuilder told = new StringBuilder();
    for (Event event : prediction.events) {
      told.append(told.length() > 0 ? " " : "");
      told.append(event.start ? "start:" : "end:").append(event.label);
    }
    return told.toString();
  }
}
