package edgecap.core;

/**
 * A file is no edgecap model, is damaged, or asks for what this runtime does not do.
 *
 * <p>The message is one sentence or two for people: what was expected, what came, what to do.
 */
public final class ModelException extends Exception {
  private static final long serialVersionUID = 1L;

  public ModelException(String message) {
    super(message);
  }

  public ModelException(String message, Throwable cause) {
    super(message, cause);
  }
}
