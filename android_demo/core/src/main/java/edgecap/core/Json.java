package edgecap.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON (RFC 8259), strictly: core has no Android classes, so none of {@code org.json} either.
 *
 * <p>Objects become {@code Map<String, Object>} in the order of the text, arrays {@code
 * List<Object>}, integers {@code Long}, other numbers {@code Double}, and null stays null.
 */
final class Json {
  /** Far deeper than any spec; a hostile file must not overflow the stack. */
  private static final int MAX_DEPTH = 64;

  private final String text;
  private int at;

  private Json(String text) {
    this.text = text;
  }

  /**
   * Reads one document.
   *
   * @throws ModelException the text is not JSON; says where
   */
  static Object parse(String text) throws ModelException {
    Json reader = new Json(text);
    Object value = reader.value(0);
    reader.skipSpace();
    if (reader.at != text.length()) {
      throw reader.error("the end of the text");
    }
    return value;
  }

  private Object value(int depth) throws ModelException {
    if (depth > MAX_DEPTH) {
      throw new ModelException("the spec is not JSON: nested deeper than " + MAX_DEPTH);
    }
    skipSpace();
    char next = peek();
    switch (next) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return string();
      case 't':
        return word("true", Boolean.TRUE);
      case 'f':
        return word("false", Boolean.FALSE);
      case 'n':
        return word("null", null);
      default:
        return number();
    }
  }

  private Map<String, Object> object(int depth) throws ModelException {
    Map<String, Object> found = new LinkedHashMap<>();
    expect('{');
    skipSpace();
    if (taken('}')) {
      return found;
    }
    do {
      skipSpace();
      String name = string();
      skipSpace();
      expect(':');
      found.put(name, value(depth + 1));
      skipSpace();
    } while (taken(','));
    expect('}');
    return found;
  }

  private List<Object> array(int depth) throws ModelException {
    List<Object> found = new ArrayList<>();
    expect('[');
    skipSpace();
    if (taken(']')) {
      return found;
    }
    do {
      found.add(value(depth + 1));
      skipSpace();
    } while (taken(','));
    expect(']');
    return found;
  }

  private String string() throws ModelException {
    expect('"');
    StringBuilder read = new StringBuilder();
    while (true) {
      char next = peek();
      at++;
      if (next == '"') {
        return read.toString();
      }
      if (next < ' ') {
        at--;
        throw error("no control character inside a string");
      }
      read.append(next == '\\' ? escaped() : next);
    }
  }

  private char escaped() throws ModelException {
    char kind = peek();
    at++;
    switch (kind) {
      case '"':
      case '\\':
      case '/':
        return kind;
      case 'b':
        return '\b';
      case 'f':
        return '\f';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'u':
        return unicode();
      default:
        at--;
        throw error("an escape that JSON knows");
    }
  }

  private char unicode() throws ModelException {
    int code = 0;
    for (int i = 0; i < 4; i++) {
      int digit = Character.digit(peek(), 16);
      if (digit < 0) {
        throw error("four hexadecimal digits");
      }
      code = code * 16 + digit;
      at++;
    }
    return (char) code;
  }

  private Object number() throws ModelException {
    int start = at;
    boolean whole = true;
    taken('-');
    int digits = at;
    skipDigits();
    if (at == digits || (text.charAt(digits) == '0' && at > digits + 1)) {
      at = start;
      throw error("a value");
    }
    if (taken('.')) {
      whole = false;
      digits = at;
      skipDigits();
      if (at == digits) {
        throw error("a digit");
      }
    }
    if (taken('e') || taken('E')) {
      whole = false;
      if (!taken('+')) {
        taken('-');
      }
      digits = at;
      skipDigits();
      if (at == digits) {
        throw error("a digit");
      }
    }
    String written = text.substring(start, at);
    try {
      if (whole) {
        return Long.valueOf(written);
      }
      return Double.valueOf(written);
    } catch (NumberFormatException tooLarge) {
      at = start;
      throw error("a number of sensible size");
    }
  }

  private Object word(String word, Object meaning) throws ModelException {
    if (!text.startsWith(word, at)) {
      throw error("a value");
    }
    at += word.length();
    return meaning;
  }

  private void skipDigits() {
    while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
      at++;
    }
  }

  private void skipSpace() {
    while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
  }

  private char peek() throws ModelException {
    if (at >= text.length()) {
      throw error("more text");
    }
    return text.charAt(at);
  }

  private boolean taken(char wanted) {
    if (at < text.length() && text.charAt(at) == wanted) {
      at++;
      return true;
    }
    return false;
  }

  private void expect(char wanted) throws ModelException {
    if (!taken(wanted)) {
      throw error("'" + wanted + "'");
    }
  }

  private ModelException error(String expected) {
    return new ModelException(
        "the spec is not JSON: expected " + expected + " at character " + at);
  }
}
