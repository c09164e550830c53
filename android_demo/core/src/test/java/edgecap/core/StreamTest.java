package edgecap.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Test;

/** States are carried by name, and a reset puts each on its zero-point. */
public class StreamTest {
  /** A graph that adds one, or two, to every byte of a state. */
  private static final class Counting implements StepRunner {
    final Map<String, TensorSpec> inputs = new LinkedHashMap<>();
    final Map<String, TensorSpec> outputs = new LinkedHashMap<>();
    final ModelSpec spec;

    Counting(ModelSpec spec) {
      this.spec = spec;
      // The outputs in another order than the inputs: names count, positions do not.
      inputs.put(spec.input.tensor.name, spec.input.tensor);
      for (int i = spec.states.size() - 1; i >= 0; i--) {
        outputs.put(spec.states.get(i).name, spec.states.get(i));
      }
      for (TensorSpec state : spec.states) {
        inputs.put(state.name, state);
      }
      outputs.put(spec.output.name, spec.output);
    }

    @Override
    public Map<String, TensorSpec> inputs() {
      return inputs;
    }

    @Override
    public Map<String, TensorSpec> outputs() {
      return outputs;
    }

    @Override
    public void run(Map<String, ByteBuffer> from, Map<String, ByteBuffer> to) {
      // First, so that an output which is an input too would show.
      for (ByteBuffer buffer : to.values()) {
        for (int i = 0; i < buffer.capacity(); i++) {
          buffer.put(i, (byte) 99);
        }
      }
      for (TensorSpec state : spec.states) {
        int step = state.name.equals("b") ? 2 : 1;
        for (int i = 0; i < state.bytes(); i++) {
          to.get(state.name).put(i, (byte) (from.get(state.name).get(i) + step));
        }
      }
    }

    @Override
    public void close() {}
  }

  private static ModelSpec spec() throws Exception {
    return ModelSpec.parse((String) Vectors.cases("stream").get(0).get("spec"));
  }

  private static YuvFrame frame() {
    YuvFrame.Plane luma = new YuvFrame.Plane(ByteBuffer.allocate(64), 8, 1);
    YuvFrame.Plane chroma = new YuvFrame.Plane(ByteBuffer.allocate(16), 4, 1);
    return new YuvFrame(luma, chroma, chroma, 8, 8, 0);
  }

  @Test
  public void statesAreCarriedByNameAndResetToTheirZeroPoints() throws Exception {
    ModelSpec spec = spec();
    assertEquals(-22, spec.states.get(0).zeroPoint);
    Stream stream = new Stream(spec, new Counting(spec));
    for (int round = 0; round < 2; round++) {
      assertArrayEquals(new byte[] {-22, -22, -22}, stream.state("a"));
      assertArrayEquals(new byte[] {7, 0, 7, 0}, stream.state("b"));
      for (int step = 1; step <= 3; step++) {
        stream.step(frame(), step);
        byte a = (byte) (-22 + step);
        byte b = (byte) (2 * step);
        assertArrayEquals(new byte[] {a, a, a}, stream.state("a"));
        assertArrayEquals(new byte[] {(byte) (7 + b), b, (byte) (7 + b), b}, stream.state("b"));
      }
      stream.reset();
    }
  }

  @Test
  public void aGraphThatIsNotWhatTheSpecSaysIsRefused() throws Exception {
    ModelSpec spec = spec();
    Counting lacking = new Counting(spec);
    lacking.outputs.remove("b");
    assertRefused(lacking, "the spec names a, b, logits; the graph has a, logits");
    Counting other = new Counting(spec);
    other.inputs.put("a", new TensorSpec("a", new int[] {1, 3}, "int8", 0.5, -21));
    assertRefused(other, "zero-point -22; the graph has int8 [1, 3], scale 0.5, zero-point -21");
  }

  private static void assertRefused(final Counting runner, String says) {
    ModelException error =
        assertThrows(ModelException.class, () -> new Stream(runner.spec, runner));
    assertTrue(error.getMessage(), error.getMessage().contains(says));
  }

  @Test
  @SuppressWarnings("unchecked")
  public void framesAreTakenAtTheModelsRateAndPausesReset() throws Exception {
    for (Map<String, Object> vector : Vectors.cases("lanes")) {
      ModelSpec spec = spec();
      Lane lane = new Lane(new Stream(spec, new Counting(spec)), (Double) vector.get("rate_hz"));
      double[] times = Vectors.doubles(vector.get("times"));
      List<Object> accepted = (List<Object>) vector.get("accepted");
      for (int i = 0; i < times.length; i++) {
        boolean due = lane.due(times[i]);
        assertEquals(vector.get("name") + ", frame " + i, accepted.get(i), due);
        if (due) {
          lane.step(frame(), times[i]);
        }
      }
      assertEquals((long) (Long) vector.get("resets"), lane.resets());
    }
  }

  @Test
  public void percentilesAreLatenciesThatWereMeasured() {
    Latencies latencies = new Latencies(100);
    assertTrue(Float.isNaN(latencies.percentiles(50)[0]));
    for (int i = 1; i <= 250; i++) {
      latencies.add(i);
    }
    assertEquals(250, latencies.count());
    float[] found = latencies.percentiles(0, 50, 95, 100);
    assertEquals("[151.0, 200.0, 245.0, 250.0]", Arrays.toString(found));
  }

  /** Of the usual sensors, 90° on the back and 270° on the front, in the four ways to hold it. */
  @Test
  public void framesAreTurnedUprightWhicheverWayThePhoneIsHeld() {
    int[] back = new int[4];
    int[] front = new int[4];
    for (int turn = 0; turn < 4; turn++) {
      back[turn] = Orientation.upright(90, 90 * turn, false);
      front[turn] = Orientation.upright(270, 90 * turn, true);
    }
    assertEquals("[90, 0, 270, 180]", Arrays.toString(back));
    assertEquals("[270, 0, 90, 180]", Arrays.toString(front));
  }
}
