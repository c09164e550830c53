package edgecap.demo;

import edgecap.core.ModelException;
import edgecap.core.StepRunner;
import edgecap.core.TensorSpec;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/**
 * The step on TensorFlow Lite; to be used and closed in one thread.
 *
 * <p>One thread is XNNPACK's. More are TensorFlow Lite's own kernels': its Java API gives XNNPACK one
 * thread, whatever is asked for ({@code createXNNPackDelegate} in {@code
 * op_resolver_lazy_delegate_proxy.cc} of 2.16 takes the default options), so a larger number would do
 * nothing there. The two round otherwise now and then, within the tolerance that is recorded in the
 * model's file.
 */
final class TfliteRunner implements StepRunner {
  private final Interpreter interpreter;
  private final Map<String, TensorSpec> inputs = new LinkedHashMap<>();
  private final Map<String, TensorSpec> outputs = new LinkedHashMap<>();
  private final Map<String, Object> given = new HashMap<>();
  private final Map<String, Object> taken = new HashMap<>();

  /**
   * Opens a verified model.
   *
   * @param model the flatbuffer in a direct buffer; kept as long as the runner
   * @param threads one: on XNNPACK; more: on the kernels that can use them
   * @throws ModelException TensorFlow Lite refuses it, or it has no step
   */
  TfliteRunner(ByteBuffer model, int threads) throws ModelException {
    try {
      interpreter =
          new Interpreter(
              model, new Interpreter.Options().setNumThreads(threads).setUseXNNPACK(threads == 1));
    } catch (IllegalArgumentException | IllegalStateException error) {
      throw new ModelException(
          "TensorFlow Lite cannot run this model: " + error.getMessage(), error);
    } catch (UnsatisfiedLinkError error) {
      throw new ModelException(
          "TensorFlow Lite does not load on this phone: expected a processor of arm64-v8a or "
              + "armeabi-v7a and memory pages of 4 kB",
          error);
    }
    try {
      describe();
    } catch (ModelException | RuntimeException error) {
      interpreter.close();
      throw error;
    }
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
    given.putAll(from);
    taken.putAll(to);
    interpreter.runSignature(given, taken, SIGNATURE);
  }

  @Override
  public void close() {
    interpreter.close();
  }

  private void describe() throws ModelException {
    String[] signatures = interpreter.getSignatureKeys();
    if (!Arrays.asList(signatures).contains(SIGNATURE)) {
      throw new ModelException(
          "expected a signature '" + SIGNATURE + "'; found " + Arrays.toString(signatures));
    }
    for (String name : interpreter.getSignatureInputs(SIGNATURE)) {
      inputs.put(name, spec(name, interpreter.getInputTensorFromSignature(name, SIGNATURE)));
    }
    for (String name : interpreter.getSignatureOutputs(SIGNATURE)) {
      outputs.put(name, spec(name, interpreter.getOutputTensorFromSignature(name, SIGNATURE)));
    }
  }

  private static TensorSpec spec(String name, Tensor tensor) throws ModelException {
    Tensor.QuantizationParams grid = tensor.quantizationParams();
    String dtype = tensor.dataType().toString().toLowerCase(java.util.Locale.ROOT);
    return new TensorSpec(name, tensor.shape(), dtype, grid.getScale(), grid.getZeroPoint());
  }
}
