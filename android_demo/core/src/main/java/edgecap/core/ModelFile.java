package edgecap.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * A model file: a TFLite flatbuffer with a zip tail that holds the spec, the labels, recorded
 * outputs and a model card.
 *
 * <p>Every digest is checked here, so that a damaged weight is noticed before native code sees it:
 * no interpreter complains of one, it only gives other answers.
 */
public final class ModelFile {
  private static final String SPEC = "edgecap.json";
  private static final String LABELS = "labels.txt";
  private static final String[] OTHERS = {LABELS, "golden.npz", "MODEL_CARD.md"};
  private static final byte[] IDENTIFIER = {'T', 'F', 'L', '3'};

  public final ModelSpec spec;

  private final ByteBuffer model;

  private ModelFile(ModelSpec spec, ByteBuffer model) {
    this.spec = spec;
    this.model = model;
  }

  /** The flatbuffer without the tail: a direct buffer in the machine's byte order. */
  public ByteBuffer model() {
    ByteBuffer view = model.asReadOnlyBuffer().order(ByteOrder.nativeOrder());
    view.rewind();
    return view;
  }

  /**
   * Reads a file's bytes and checks every part of it.
   *
   * @throws ModelException no edgecap model, a damaged one, or one that this runtime does not run
   */
  public static ModelFile read(byte[] data) throws ModelException {
    ZipTail tail = ZipTail.read(data);
    if (tail == null) {
      throw new ModelException(explainNoZip(data));
    }
    ModelSpec spec = ModelSpec.parse(text(tail.member(SPEC), SPEC));
    int size = tail.start();
    checkDigest("model", sha256(data, size), spec);
    for (String name : OTHERS) {
      byte[] member = tail.member(name);
      checkDigest(name, sha256(member, member.length), spec);
    }
    StringBuilder lines = new StringBuilder();
    for (String label : spec.labels) {
      lines.append(label).append('\n');
    }
    if (!text(tail.member(LABELS), LABELS).contentEquals(lines)) {
      throw new ModelException(LABELS + " has other labels than " + SPEC);
    }
    if (!isFlatbuffer(data, size)) {
      throw new ModelException("not a model: expected a TFLite flatbuffer before the zip tail");
    }
    ByteBuffer model = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder());
    model.put(data, 0, size);
    model.rewind();
    return new ModelFile(spec, model);
  }

  private static void checkDigest(String part, String found, ModelSpec spec)
      throws ModelException {
    if (!found.equals(spec.digest(part))) {
      throw new ModelException(
          part + " is damaged: its SHA-256 is not the one in the spec. Copy the file again");
    }
  }

  private static String explainNoZip(byte[] data) {
    if (isFlatbuffer(data, data.length)) {
      return "a TFLite file without an edgecap spec: a plain .tflite, or an edgecap model that was "
          + "cut short. Copy it again, or make one with 'edgecap convert'";
    }
    return "not a model: expected a .tflite file made by 'edgecap convert'";
  }

  private static boolean isFlatbuffer(byte[] data, int size) {
    boolean same = size >= 8;
    for (int i = 0; same && i < IDENTIFIER.length; i++) {
      same = data[4 + i] == IDENTIFIER[i];
    }
    return same;
  }

  private static String text(byte[] data, String name) throws ModelException {
    try {
      // A decoder of its own reports what is no UTF-8; String's constructor would replace it.
      return ZipTail.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString();
    } catch (CharacterCodingException error) {
      throw new ModelException(name + " is not UTF-8. Copy the file again", error);
    }
  }

  private static String sha256(byte[] data, int size) {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new AssertionError(impossible); // Every Java platform must have it.
    }
    digest.update(data, 0, size);
    StringBuilder written = new StringBuilder();
    for (byte value : digest.digest()) {
      written.append(Character.forDigit((value >> 4) & 15, 16));
      written.append(Character.forDigit(value & 15, 16));
    }
    return written.toString();
  }
}
