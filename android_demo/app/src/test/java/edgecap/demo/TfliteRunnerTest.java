package edgecap.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import edgecap.core.ModelException;
import edgecap.core.ModelFile;
import edgecap.core.ParityTest;
import edgecap.core.StepRunner;
import edgecap.core.TensorSpec;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.HashMap;
import java.util.Map;
import org.junit.Test;

/**
 * The app's own interpreter class, over TensorFlow Lite's Java classes and its Android library.
 *
 * <p>The frames that {@link ParityTest} runs on Python's LiteRT run here once more.
 */
public class TfliteRunnerTest extends ParityTest {
  @Override
  protected StepRunner open(ModelFile file) throws ModelException {
    return new TfliteRunner(file.model(), 1);
  }

  @Test
  public void theNumberOfThreadsTakesEffect() throws Exception {
    int before = threads();
    assertEquals("one thread is the caller's", before, threadsAtWork(1));
    int more = threadsAtWork(4) - before;
    assertTrue("four threads are three more at least; got " + more, more >= 3);
    assertEquals("closed, they are gone", before, threads());
  }

  /** Native threads while a runner with so many of its own has made a step. */
  private static int threadsAtWork(int count) throws Exception {
    ModelFile file = ModelFile.read(Files.readAllBytes(folder().resolve("demo.tflite")));
    try (TfliteRunner runner = new TfliteRunner(file.model(), count)) {
      runner.run(buffers(runner.inputs()), buffers(runner.outputs()));
      return threads();
    }
  }

  private static Map<String, ByteBuffer> buffers(Map<String, TensorSpec> tensors) {
    Map<String, ByteBuffer> found = new HashMap<>();
    for (TensorSpec tensor : tensors.values()) {
      found.put(tensor.name, tensor.allocate());
    }
    return found;
  }

  @Test
  public void whatIsNoModelOfThisKindIsRefused() throws Exception {
    final ByteBuffer noise = ByteBuffer.allocateDirect(4096).order(ByteOrder.nativeOrder());
    noise.put(4, (byte) 'T').put(5, (byte) 'F').put(6, (byte) 'L').put(7, (byte) '3');
    assertRefused(noise, "TensorFlow Lite cannot run this model");
    byte[] other = Files.readAllBytes(folder().resolve("reference.tflite"));
    ByteBuffer model = ByteBuffer.allocateDirect(other.length).order(ByteOrder.nativeOrder());
    model.put(other).rewind();
    assertRefused(model, "expected a signature 'step'");
  }

  private static void assertRefused(final ByteBuffer model, String says) {
    ModelException error =
        assertThrows(ModelException.class, () -> new TfliteRunner(model, 1));
    assertTrue(error.getMessage(), error.getMessage().contains(says));
  }

  private static Path folder() {
    return Paths.get(System.getProperty("edgecap.vectors"));
  }

  /** Those of this process that have no name of their own: the JVM names its threads. */
  private static int threads() throws IOException {
    int count = 0;
    for (File task : new File("/proc/self/task").listFiles()) {
      Path name = task.toPath().resolve("comm");
      // One that has ended meanwhile has no name any more.
      count += Files.exists(name) && read(name).equals("java") ? 1 : 0;
    }
    return count;
  }

  private static String read(Path file) throws IOException {
    return new String(Files.readAllBytes(file), "UTF-8").trim();
  }
}
