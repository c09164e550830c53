package edgecap.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.Test;

/**
 * Camera frames go in, and every output, state, probability and event of 200 frames is Python's.
 *
 * <p>Here on LiteRT, that of Python itself: the property {@code edgecap.litert} names {@code
 * libLiteRt.so} of the ai-edge-litert wheel. The app's tests run the same on TensorFlow Lite.
 */
public class ParityTest {
  /** An interpreter for a model; closed after its frames. */
  protected StepRunner open(ModelFile file) throws ModelException {
    return new LiteRtRunner(System.getProperty("edgecap.litert"), file.model());
  }

  @Test
  @SuppressWarnings("unchecked")
  public void twoHundredFramesAreEqualToPython() throws Exception {
    List<Map<String, Object>> vectors = Vectors.cases("parity");
    for (Map<String, Object> vector : vectors) {
      ModelFile file = ModelFile.read(Vectors.bytes(vector.get("file")));
      try (StepRunner runner = open(file)) {
        Stream stream = new Stream(file.spec, runner);
        byte[] frames = Vectors.bytes(vector.get("frames"));
        byte[] outputs = Vectors.bytes(vector.get("outputs"));
        float[] values = Vectors.floats(vector.get("values"));
        List<Object> told = (List<Object>) vector.get("told");
        Map<String, byte[]> states = new HashMap<>();
        for (Map.Entry<String, Object> state :
            ((Map<String, Object>) vector.get("states")).entrySet()) {
          states.put(state.getKey(), Vectors.bytes(state.getValue()));
        }
        int count = Vectors.number(vector, "count");
        int labels = file.spec.labels.size();
        boolean exact = vector.get("exact") == Boolean.TRUE;
        assertEquals(200, count);
        Set<String> different = new HashSet<>();
        for (int i = 0; i < count; i++) {
          if (i == Vectors.number(vector, "reset_before")) {
            stream.reset();
          }
          String where = vector.get("name") + ", frame " + i;
          YuvFrame frame = frame(vector, frames, i);
          Prediction prediction = stream.step(frame, i / file.spec.rateHz);
          int size = file.spec.output.bytes();
          assertArrayEquals(where, part(outputs, i, size), stream.lastOutput());
          different.add(Arrays.toString(stream.lastOutput()));
          for (TensorSpec state : file.spec.states) {
            byte[] wanted = part(states.get(state.name), i, state.bytes());
            assertArrayEquals(where + ": " + state.name, wanted, stream.state(state.name));
          }
          float[] row = Arrays.copyOfRange(values, i * labels, (i + 1) * labels);
          // Sigmoid of 8 bits is a table that NumPy makes in float32; see DecisionTest.
          assertArrayEquals(where, row, prediction.values, exact ? 0f : 1e-6f);
          assertEquals(where, told.get(i), Vectors.told(prediction));
        }
        assertEquals(Vectors.number(vector, "different"), different.size());
        assertTrue("outputs must vary for this to mean anything", different.size() > 10);
      }
    }
    assertTrue(!vectors.isEmpty());
  }

  private static YuvFrame frame(Map<String, Object> of, byte[] frames, int index) {
    int luma = Vectors.number(of, "luma_bytes");
    int chroma = Vectors.number(of, "chroma_bytes");
    int start = index * (luma + 2 * chroma);
    return Vectors.frame(
        of,
        ByteBuffer.wrap(frames, start, luma).slice(),
        ByteBuffer.wrap(frames, start + luma, chroma).slice(),
        ByteBuffer.wrap(frames, start + luma + chroma, chroma).slice());
  }

  private static byte[] part(byte[] data, int index, int size) {
    return Arrays.copyOfRange(data, index * size, (index + 1) * size);
  }
}
