package edgecap.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.junit.Test;

/** Frames of every rotation, size and stride become the bytes that Python makes of them. */
public class PreprocessorTest {
  @Test
  public void everyVectorByteForByte() throws Exception {
    Set<Object> rotations = new HashSet<>();
    Set<Object> pixelStrides = new HashSet<>();
    for (Map<String, Object> vector : Vectors.cases("preprocess")) {
      InputSpec spec = InputSpec.read(new Fields(vector.get("input"), "input"));
      ByteBuffer image = new Preprocessor(spec).image(Vectors.frame(vector));
      byte[] found = new byte[image.remaining()];
      image.get(found);
      assertArrayEquals(
          String.valueOf(vector.get("name")), Vectors.bytes(vector.get("expected")), found);
      rotations.add(vector.get("rotation"));
      pixelStrides.add(vector.get("chroma_pixel_stride"));
    }
    assertEquals(4, rotations.size());
    assertEquals(2, pixelStrides.size());
  }

  @Test
  public void oneForFramesOfChangingSize() throws Exception {
    Preprocessor preprocessor = null;
    int used = 0;
    for (Map<String, Object> vector : Vectors.cases("preprocess")) {
      if (vector.get("group").equals("one input")) {
        if (preprocessor == null) {
          InputSpec spec = InputSpec.read(new Fields(vector.get("input"), "input"));
          preprocessor = new Preprocessor(spec);
        }
        ByteBuffer image = preprocessor.image(Vectors.frame(vector));
        byte[] found = new byte[image.remaining()];
        image.get(found);
        assertArrayEquals(Vectors.bytes(vector.get("expected")), found);
        used++;
      }
    }
    assertTrue(used >= 4);
  }

  @Test
  public void planesThatAreTooSmallAreRefused() {
    final YuvFrame.Plane luma = new YuvFrame.Plane(ByteBuffer.allocate(16 * 8), 16, 1);
    final YuvFrame.Plane chroma = new YuvFrame.Plane(ByteBuffer.allocate(8 * 4), 8, 1);
    assertEquals(16, new YuvFrame(luma, chroma, chroma, 16, 8, 0).width());
    assertEquals(8, new YuvFrame(luma, chroma, chroma, 16, 8, 90).width());
    for (final int[] wrong : new int[][] {{17, 8, 0}, {16, 9, 0}, {16, 8, 45}, {0, 8, 0}}) {
      IllegalArgumentException error =
          assertThrows(
              IllegalArgumentException.class,
              () -> new YuvFrame(luma, chroma, chroma, wrong[0], wrong[1], wrong[2]));
      assertTrue(error.getMessage(), error.getMessage().contains("expected"));
    }
  }
}
