package edgecap.demo;

import android.content.ContentResolver;
import android.content.Context;
import android.database.Cursor;
import android.net.Uri;
import android.provider.OpenableColumns;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;

/** Where a model comes from: the app's assets, or a document that was picked on the phone. */
final class ModelSource {
  private static final String FOLDER = "models";
  private static final String SUFFIX = ".tflite";

  /** More would not fit into an app's memory beside all else. */
  private static final int MAX_BYTES = 64 << 20;

  /** Tells sources apart, also after the app was restarted. */
  final String id;

  private final Uri document;
  private final String name;

  private ModelSource(String id, Uri document, String name) {
    this.id = id;
    this.document = document;
    this.name = name;
  }

  /** Every model in the assets. */
  static List<ModelSource> ofAssets(Context context) {
    List<ModelSource> found = new ArrayList<>();
    try {
      for (String file : context.getAssets().list(FOLDER)) {
        if (file.endsWith(SUFFIX)) {
          String name = file.substring(0, file.length() - SUFFIX.length());
          found.add(new ModelSource(FOLDER + "/" + file, null, name));
        }
      }
    } catch (IOException error) {
      // Then there are none; the list says so.
      return found;
    }
    return found;
  }

  /** A document that the person has picked. */
  static ModelSource ofDocument(Context context, Uri document) {
    return new ModelSource(document.toString(), document, displayName(context, document));
  }

  /**
   * All its bytes.
   *
   * @throws IOException it cannot be read, or is far too large; the message says so to people
   */
  byte[] read(Context context) throws IOException {
    try (InputStream stream = open(context)) {
      if (stream == null) {
        throw new FileNotFoundException("the app that keeps it gives nothing");
      }
      ByteArrayOutputStream read = new ByteArrayOutputStream();
      byte[] block = new byte[1 << 16];
      for (int got = stream.read(block); got >= 0; got = stream.read(block)) {
        read.write(block, 0, got);
        if (read.size() > MAX_BYTES) {
          throw new IOException("more than " + (MAX_BYTES >> 20) + " MB; that is no model file");
        }
      }
      return read.toByteArray();
    } catch (SecurityException error) {
      throw new IOException("permission has ended; choose the file again", error);
    }
  }

  /** What lists show. */
  @Override
  public String toString() {
    return name;
  }

  private InputStream open(Context context) throws IOException {
    return document == null
        ? context.getAssets().open(id)
        : context.getContentResolver().openInputStream(document);
  }

  private static String displayName(Context context, Uri document) {
    ContentResolver resolver = context.getContentResolver();
    String[] column = {OpenableColumns.DISPLAY_NAME};
    try (Cursor cursor = resolver.query(document, column, null, null, null)) {
      if (cursor != null && cursor.moveToFirst() && cursor.getString(0) != null) {
        return cursor.getString(0);
      }
    } catch (RuntimeException error) {
      // Whatever another app's provider throws: the name is only for showing.
      return String.valueOf(document.getLastPathSegment());
    }
    return String.valueOf(document.getLastPathSegment());
  }
}
