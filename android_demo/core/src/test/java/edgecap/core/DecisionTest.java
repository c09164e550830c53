package edgecap.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.Test;

/** Outputs become the probabilities, and probabilities the events, that Python makes of them. */
public class DecisionTest {
  /**
   * Relative. NumPy's float32 exp and log1p are a few units in the last place from Java's; 8-bit
   * logits go through a table in float64 instead and are equal to the bit.
   */
  private static final double FLOAT_TOLERANCE = 1e-6;

  @Test
  public void probabilitiesAreThoseOfPython() throws Exception {
    int exact = 0;
    for (Map<String, Object> vector : Vectors.cases("activation")) {
      String name = (String) vector.get("name");
      ModelSpec spec = ModelSpec.parse((String) vector.get("spec"));
      Activation activation = new Activation(spec);
      ByteBuffer outputs = Vectors.direct(vector.get("outputs"));
      float[] expected = Vectors.floats(vector.get("expected"));
      int labels = spec.labels.size();
      int rows = expected.length / labels;
      for (int row = 0; row < rows; row++) {
        ByteBuffer one = spec.output.allocate();
        for (int i = 0; i < one.capacity(); i++) {
          one.put(i, outputs.get(row * one.capacity() + i));
        }
        float[] found = activation.apply(one);
        float[] wanted = Arrays.copyOfRange(expected, row * labels, (row + 1) * labels);
        if (vector.get("exact") == Boolean.TRUE) {
          assertArrayEquals(name, wanted, found, 0f);
          exact++;
        } else {
          for (int i = 0; i < labels; i++) {
            assertEquals(name, wanted[i], found[i], FLOAT_TOLERANCE * Math.abs(wanted[i]) + 1e-38);
          }
        }
      }
    }
    assertTrue(exact > 0);
  }

  @Test
  @SuppressWarnings("unchecked")
  public void eventsStartAndEndAtTheFramesOfPython() throws Exception {
    int events = 0;
    for (Map<String, Object> vector : Vectors.cases("decisions")) {
      String name = (String) vector.get("name");
      ModelSpec spec = ModelSpec.parse((String) vector.get("spec"));
      Decider decider = new Decider(spec);
      float[] values = Vectors.floats(vector.get("values"));
      double[] times = Vectors.doubles(vector.get("times"));
      List<Object> told = (List<Object>) vector.get("told");
      List<Object> active = (List<Object>) vector.get("active");
      List<Object> settled = (List<Object>) vector.get("settled");
      float[] scores = Vectors.floats(vector.get("scores"));
      int labels = spec.labels.size();
      int at = 0;
      for (int frame = 0; frame < times.length; frame++) {
        float[] row = Arrays.copyOfRange(values, frame * labels, (frame + 1) * labels);
        Prediction prediction = decider.predict(row, times[frame]);
        String where = name + ", frame " + frame;
        assertEquals(where, told.get(frame), Vectors.told(prediction));
        assertEquals(where, active.get(frame), String.join(" ", prediction.active));
        assertEquals(where, settled.get(frame), prediction.settled);
        for (Event event : prediction.events) {
          assertEquals(where, scores[at++], event.score, 0f);
          assertEquals(where, times[frame], event.timestampS, 0.0);
          events++;
        }
        if (vector.get("reset_after").equals((long) frame)) {
          decider.reset();
        }
      }
      assertEquals(name, scores.length, at);
    }
    assertTrue("without events, equality says little", events > 50);
  }
}
