package edgecap.core;

import java.io.Closeable;
import java.nio.ByteBuffer;
import java.util.Map;

/**
 * One step of the graph on some interpreter; the app's is TensorFlow Lite, that of the tests LiteRT
 * on a desktop. Not safe for two threads at once.
 */
public interface StepRunner extends Closeable {
  /** The signature that every edgecap model has. */
  String SIGNATURE = "step";

  /**
   * The inputs of the step as the graph has them, by name.
   *
   * @throws ModelException there is no such signature, or a tensor of an unknown kind
   */
  Map<String, TensorSpec> inputs() throws ModelException;

  /**
   * The outputs likewise.
   *
   * @throws ModelException as for the inputs
   */
  Map<String, TensorSpec> outputs() throws ModelException;

  /**
   * Computes one step.
   *
   * @param inputs every input by name, in direct buffers of native byte order, rewound
   * @param outputs buffers for every output by name; filled
   */
  void run(Map<String, ByteBuffer> inputs, Map<String, ByteBuffer> outputs);

  @Override
  void close();
}
