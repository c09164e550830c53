package edgecap.demo;

import android.content.Context;
import android.content.Intent;
import android.content.SharedPreferences;
import android.net.Uri;
import java.util.List;

/** What the person has chosen: model, threads, camera; kept from one start to the next. */
final class Choices {
  /** One is on XNNPACK, more on other kernels: see {@link TfliteRunner}. */
  static final int[] THREADS = {1, 2, 4};

  private static final String MODEL = "model";
  private static final String THREAD_COUNT = "threads";
  private static final String FRONT = "front";

  private final Context context;
  private final SharedPreferences kept;
  private final List<ModelSource> models;

  Choices(Context context) {
    this.context = context;
    kept = context.getSharedPreferences("choices", Context.MODE_PRIVATE);
    models = ModelSource.ofAssets(context);
    String id = kept.getString(MODEL, "");
    if (id.startsWith("content:")) {
      models.add(ModelSource.ofDocument(context, Uri.parse(id)));
    }
  }

  /** The models to choose from: those of the assets, and the one that was picked last. */
  List<ModelSource> models() {
    return models;
  }

  /** The index of the chosen one; −1 where there is none at all. */
  int model() {
    String id = kept.getString(MODEL, "");
    for (int i = 0; i < models.size(); i++) {
      if (models.get(i).id.equals(id)) {
        return i;
      }
    }
    return models.isEmpty() ? -1 : 0;
  }

  void chooseModel(int index) {
    kept.edit().putString(MODEL, models.get(index).id).apply();
  }

  /** Adds a document that was picked, and chooses it. */
  void chooseDocument(Uri document) {
    try {
      context
          .getContentResolver()
          .takePersistableUriPermission(document, Intent.FLAG_GRANT_READ_URI_PERMISSION);
    } catch (SecurityException error) {
      // Not every provider lets it be kept; then it can be read until the app is closed.
      kept.edit().putString(MODEL, "").apply();
    }
    ModelSource picked = ModelSource.ofDocument(context, document);
    for (int i = models.size() - 1; i >= 0; i--) {
      if (models.get(i).id.equals(picked.id)) {
        models.remove(i);
      }
    }
    models.add(picked);
    chooseModel(models.size() - 1);
  }

  int threads() {
    return kept.getInt(THREAD_COUNT, THREADS[0]);
  }

  void chooseThreads(int threads) {
    kept.edit().putInt(THREAD_COUNT, threads).apply();
  }

  boolean front() {
    return kept.getBoolean(FRONT, false);
  }

  void chooseFront(boolean front) {
    kept.edit().putBoolean(FRONT, front).apply();
  }
}
