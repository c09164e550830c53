package edgecap.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.Test;

/** Good files are read; bad ones are refused with one clear text, whatever is wrong with them. */
public class ModelFileTest {
  @Test
  public void aGoodFileIsReadWithoutItsTail() throws Exception {
    for (Map<String, Object> vector : Vectors.cases("models")) {
      ModelFile file = ModelFile.read(Vectors.bytes(vector.get("file")));
      assertEquals(vector.get("labels"), file.spec.labels);
      assertEquals(vector.get("task"), file.spec.task);
      ByteBuffer model = file.model();
      assertTrue(model.isDirect());
      byte[] found = new byte[model.remaining()];
      model.get(found);
      byte[] all = Vectors.bytes(vector.get("file"));
      assertEquals((long) (Long) vector.get("flatbuffer_bytes"), found.length);
      assertTrue(Arrays.equals(Arrays.copyOf(all, found.length), found));
    }
  }

  @Test
  public void everyBadFileIsRefusedWithItsReason() throws Exception {
    int refused = 0;
    for (Map<String, Object> vector : Vectors.cases("bad_models")) {
      final byte[] data = Vectors.bytes(vector.get("file"));
      ModelException error = assertThrows(
          String.valueOf(vector.get("file")), ModelException.class, () -> ModelFile.read(data));
      String wanted = (String) vector.get("says");
      assertTrue(
          vector.get("file") + ": expected '" + wanted + "' in: " + error.getMessage(),
          error.getMessage().contains(wanted));
      refused++;
    }
    assertTrue(refused >= 15);
  }

  /** Whatever byte is hit: an error of its own or the same model, never another exception. */
  @Test
  public void noDamageCrashesTheReader() throws Exception {
    byte[] good = Vectors.bytes(Vectors.cases("models").get(0).get("file"));
    int tail = ZipTail.read(good).start();
    Random random = new Random(8);
    int refused = 0;
    for (int round = 0; round < 300; round++) {
      byte[] hit = good.clone();
      // Mostly the tail, where the structure is; a byte of the flatbuffer is the digest's.
      int from = round % 10 == 0 ? 0 : tail;
      for (int i = 0; i < 1 + round % 3; i++) {
        hit[from + random.nextInt(hit.length - from)] ^= (byte) (1 << random.nextInt(8));
      }
      try {
        assertEquals(tail, ModelFile.read(hit).model().remaining());
      } catch (ModelException expected) {
        refused++;
      }
    }
    assertTrue("only " + refused + " of 300", refused > 250);
    for (int size = 0; size < good.length; size += 997) {
      final byte[] cut = Arrays.copyOf(good, size);
      assertThrows(ModelException.class, () -> ModelFile.read(cut));
    }
  }

  @Test
  public void jsonIsReadStrictly() throws Exception {
    assertEquals("{a=[1, 2.5, true, null, é\n]}", Json.parse(
        " {\"a\": [1, 2.5, true, null, \"\\u00e9\\n\"]} ").toString());
    String[] wrong = {"", "{", "[1,]", "{\"a\":1,}", "01", "1.", "-", "\"\t\"", "nul", "1 2",
        "[NaN]", "{\"a\" 1}", "\"\\x\"", "99999999999999999999", "\"\\u12\""};
    for (final String text : wrong) {
      assertThrows(text, ModelException.class, () -> Json.parse(text));
    }
    char[] deep = new char[100_000];
    Arrays.fill(deep, '[');
    assertThrows(ModelException.class, () -> Json.parse(new String(deep)));
  }
}
