package edgecap.core;

import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The step on LiteRT's C functions, those of {@code libLiteRt.so} in the ai-edge-litert wheel (2.3;
 * {@code litert/c/*.h} in google-ai-edge/LiteRT): XNNPACK, one thread, as Python runs it.
 *
 * <p>What is created lives until the process ends; it is for tests.
 */
final class LiteRtRunner implements StepRunner {
  private static final int CPU = 1; // kLiteRtHwAcceleratorCpu
  private static final int READ = 0; // kLiteRtTensorBufferLockModeRead
  private static final int WRITE = 1; // kLiteRtTensorBufferLockModeWrite
  private static final int PER_TENSOR = 1; // kLiteRtQuantizationPerTensor
  /** More than {@code sizeof(LiteRtRankedTensorType)}, 72; newer versions may add to it. */
  private static final int TYPE_BYTES = 256;

  private final NativeLibrary library;
  private final Memory model;
  private final Pointer environment;
  private final Pointer compiled;
  private final Pointer signature;
  private final List<Tensor> inputs;
  private final List<Tensor> outputs;

  private static final class Tensor {
    TensorSpec spec;
    Pointer buffer;
  }

  LiteRtRunner(String path, ByteBuffer flatbuffer) throws ModelException {
    library = NativeLibrary.getInstance(path);
    model = new Memory(flatbuffer.remaining());
    model.getByteBuffer(0, model.size()).put(flatbuffer);
    Memory out = new Memory(8);
    call("LiteRtCreateEnvironment", 0, Pointer.NULL, out);
    environment = out.getPointer(0);
    call("LiteRtCreateModelFromBuffer", environment, model, model.size(), out);
    Pointer graph = out.getPointer(0);
    call("LiteRtCreateOptions", out);
    Pointer options = out.getPointer(0);
    call("LiteRtSetOptionsHardwareAccelerators", options, CPU);
    call("LiteRtCreateCompiledModel", environment, graph, options, out);
    compiled = out.getPointer(0);
    call("LiteRtGetModelSignature", graph, 0L, out);
    signature = out.getPointer(0);
    call("LiteRtGetSignatureKey", signature, out);
    String key = out.getPointer(0).getString(0);
    if (!key.equals(SIGNATURE)) {
      throw new ModelException("expected a signature '" + SIGNATURE + "'; found '" + key + "'");
    }
    inputs = side("Input");
    outputs = side("Output");
  }

  @Override
  public Map<String, TensorSpec> inputs() {
    return specs(inputs);
  }

  @Override
  public Map<String, TensorSpec> outputs() {
    return specs(outputs);
  }

  @Override
  public void run(Map<String, ByteBuffer> from, Map<String, ByteBuffer> to) {
    for (Tensor tensor : inputs) {
      locked(tensor, WRITE).put(from.get(tensor.spec.name).duplicate());
      call("LiteRtUnlockTensorBuffer", tensor.buffer);
    }
    call("LiteRtRunCompiledModel", compiled, 0L, (long) inputs.size(), buffers(inputs),
        (long) outputs.size(), buffers(outputs));
    for (Tensor tensor : outputs) {
      to.get(tensor.spec.name).duplicate().put(locked(tensor, READ));
      call("LiteRtUnlockTensorBuffer", tensor.buffer);
    }
  }

  @Override
  public void close() {}

  private List<Tensor> side(String side) throws ModelException {
    List<Tensor> found = new ArrayList<>();
    Memory out = new Memory(8);
    call("LiteRtGetNumSignature" + side + "s", signature, out);
    long count = out.getLong(0);
    for (long i = 0; i < count; i++) {
      Tensor tensor = new Tensor();
      call("LiteRtGetSignature" + side + "Name", signature, i, out);
      final String name = out.getPointer(0).getString(0);
      call("LiteRtGetSignature" + side + "TensorByIndex", signature, i, out);
      Pointer handle = out.getPointer(0);
      Memory type = new Memory(TYPE_BYTES);
      type.clear();
      call("LiteRtGetRankedTensorType", handle, type);
      tensor.spec = spec(name, handle, type);
      call("LiteRtGetCompiledModel" + side + "BufferRequirements", compiled, 0L, i, out);
      Pointer requirements = out.getPointer(0);
      call("LiteRtCreateManagedTensorBufferFromRequirements", environment, type, requirements, out);
      tensor.buffer = out.getPointer(0);
      found.add(tensor);
    }
    return found;
  }

  private TensorSpec spec(String name, Pointer handle, Memory type) throws ModelException {
    int element = type.getInt(0);
    String dtype = element == 1 ? "float32" : element == 9 ? "int8" : element == 7 ? "int16"
        : element == 3 ? "uint8" : "element type " + element;
    // The rank has seven bits; the eighth tells of strides.
    int[] shape = type.getIntArray(8, type.getByte(4) & 0x7F);
    Memory kind = new Memory(8);
    call("LiteRtGetQuantizationTypeId", handle, kind);
    if (kind.getInt(0) != PER_TENSOR) {
      return new TensorSpec(name, shape, dtype, 0, 0);
    }
    Memory grid = new Memory(16);
    call("LiteRtGetPerTensorQuantization", handle, grid);
    return new TensorSpec(name, shape, dtype, grid.getFloat(0), (int) grid.getLong(8));
  }

  private ByteBuffer locked(Tensor tensor, int mode) {
    Memory out = new Memory(8);
    call("LiteRtLockTensorBuffer", tensor.buffer, out, mode);
    return out.getPointer(0).getByteBuffer(0, tensor.spec.bytes()).order(ByteOrder.nativeOrder());
  }

  private static Memory buffers(List<Tensor> tensors) {
    Memory array = new Memory(8L * tensors.size());
    for (int i = 0; i < tensors.size(); i++) {
      array.setPointer(8L * i, tensors.get(i).buffer);
    }
    return array;
  }

  private static Map<String, TensorSpec> specs(List<Tensor> tensors) {
    Map<String, TensorSpec> found = new LinkedHashMap<>();
    for (Tensor tensor : tensors) {
      found.put(tensor.spec.name, tensor.spec);
    }
    return found;
  }

  private void call(String name, Object... arguments) {
    Function function = library.getFunction(name);
    int status = function.invokeInt(arguments);
    if (status != 0) {
      throw new IllegalStateException(name + ": expected status 0; got " + status);
    }
  }
}
