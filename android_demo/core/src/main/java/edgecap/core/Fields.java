package edgecap.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * The fields of one JSON object of the spec, with their types checked and their place in messages.
 *
 * <p>A field that nobody asked for is refused unless it is null: it may change what the model
 * means.
 */
final class Fields {
  /** Names from a file stand in messages, so they are cut. */
  private static final int SHOWN = 60;

  private final String where;
  private final Map<String, Object> values;

  @SuppressWarnings("unchecked")
  Fields(Object value, String where) throws ModelException {
    if (!(value instanceof Map)) {
      throw new ModelException(where + ": expected an object; got " + shown(value));
    }
    this.where = where;
    this.values = (Map<String, Object>) value;
  }

  /** Refuses fields that are not among these. */
  Fields only(String... names) throws ModelException {
    for (Map.Entry<String, Object> field : values.entrySet()) {
      if (field.getValue() != null && !Arrays.asList(names).contains(field.getKey())) {
        throw new ModelException(
            where + ": unknown " + shown(field.getKey()) + "; this app knows "
                + join(Arrays.asList(names)) + ". Install a newer one");
      }
    }
    return this;
  }

  boolean has(String name) {
    return values.get(name) != null;
  }

  Iterable<String> names() {
    return values.keySet();
  }

  Fields object(String name) throws ModelException {
    return new Fields(required(name), where + "." + name);
  }

  String text(String name) throws ModelException {
    Object value = required(name);
    if (!(value instanceof String)) {
      throw wrong(name, "text", value);
    }
    return (String) value;
  }

  String text(String name, String otherwise) throws ModelException {
    return has(name) ? text(name) : otherwise;
  }

  /** A number, whole or not; infinite ones cannot be written in JSON. */
  double number(String name) throws ModelException {
    Object value = required(name);
    if (!(value instanceof Number)) {
      throw wrong(name, "a number", value);
    }
    return ((Number) value).doubleValue();
  }

  double number(String name, double otherwise) throws ModelException {
    return has(name) ? number(name) : otherwise;
  }

  int integer(String name, int otherwise) throws ModelException {
    return has(name) ? toInt(name, required(name)) : otherwise;
  }

  int[] integers(String name) throws ModelException {
    List<Object> list = list(name);
    int[] found = new int[list.size()];
    for (int i = 0; i < found.length; i++) {
      found[i] = toInt(name + "[" + i + "]", list.get(i));
    }
    return found;
  }

  List<String> texts(String name) throws ModelException {
    List<String> found = new ArrayList<>();
    for (Object value : list(name)) {
      if (!(value instanceof String)) {
        throw wrong(name + "[" + found.size() + "]", "text", value);
      }
      found.add((String) value);
    }
    return found;
  }

  List<Fields> objects(String name) throws ModelException {
    List<Fields> found = new ArrayList<>();
    for (Object value : list(name)) {
      found.add(new Fields(value, where + "." + name + "[" + found.size() + "]"));
    }
    return found;
  }

  @SuppressWarnings("unchecked")
  private List<Object> list(String name) throws ModelException {
    Object value = required(name);
    if (!(value instanceof List)) {
      throw wrong(name, "a list", value);
    }
    return (List<Object>) value;
  }

  private int toInt(String name, Object value) throws ModelException {
    if (!(value instanceof Long) || ((Long) value).intValue() != (Long) value) {
      throw wrong(name, "a whole number of 32 bits", value);
    }
    return ((Long) value).intValue();
  }

  private Object required(String name) throws ModelException {
    Object value = values.get(name);
    if (value == null) {
      throw new ModelException(where + ": " + name + " is missing");
    }
    return value;
  }

  private ModelException wrong(String name, String expected, Object value) {
    return new ModelException(
        where + "." + name + ": expected " + expected + "; got " + shown(value));
  }

  static String shown(Object value) {
    String text = String.valueOf(value);
    return "'" + (text.length() > SHOWN ? text.substring(0, SHOWN) + "…" : text) + "'";
  }

  static String join(Iterable<String> parts) {
    StringBuilder joined = new StringBuilder();
    for (String part : parts) {
      joined.append(joined.length() > 0 ? ", " : "").append(part);
    }
    return joined.toString();
  }
}
