package edgecap.demo;

import android.app.Activity;
import android.view.View;
import android.widget.AdapterView;
import android.widget.ArrayAdapter;
import android.widget.Spinner;
import java.util.ArrayList;
import java.util.List;

/** The two lists at the top: which model, and how many threads. */
final class Lists {
  /** Told when the person has chosen; the choice is kept already. */
  interface Listener {
    void onChoice();

    /** The model is to be picked among the phone's documents. */
    void onPickDocument();
  }

  private final Activity activity;
  private final Choices choices;
  private final Listener listener;
  private final Spinner models;

  Lists(Activity activity, Choices choices, Listener listener) {
    this.activity = activity;
    this.choices = choices;
    this.listener = listener;
    models = (Spinner) activity.findViewById(R.id.models);
    showModels();
    showThreads();
  }

  /** Shows the models that there are, and the chosen one. */
  void showModels() {
    List<Object> rows = new ArrayList<>();
    rows.addAll(choices.models());
    if (rows.isEmpty()) {
      // A list tells of a choice only where another row was chosen before.
      rows.add("–");
    }
    final int pick = rows.size();
    rows.add(activity.getString(R.string.pick_model));
    fill(
        models,
        rows,
        Math.max(0, choices.model()),
        new Chosen() {
          @Override
          void chosen(int index) {
            if (index == pick) {
              listener.onPickDocument();
            } else if (index < choices.models().size() && index != choices.model()) {
              choices.chooseModel(index);
              listener.onChoice();
            }
          }
        });
  }

  private void showThreads() {
    List<Object> rows = new ArrayList<>();
    int chosen = 0;
    for (int count : Choices.THREADS) {
      if (count == choices.threads()) {
        chosen = rows.size();
      }
      rows.add(
          count == 1
              ? activity.getString(R.string.threads_one)
              : activity.getString(R.string.threads_many, count));
    }
    fill(
        (Spinner) activity.findViewById(R.id.threads),
        rows,
        chosen,
        new Chosen() {
          @Override
          void chosen(int index) {
            if (Choices.THREADS[index] != choices.threads()) {
              choices.chooseThreads(Choices.THREADS[index]);
              listener.onChoice();
            }
          }
        });
  }

  private void fill(Spinner spinner, List<Object> rows, int chosen, Chosen whenChosen) {
    ArrayAdapter<Object> adapter =
        new ArrayAdapter<>(activity, android.R.layout.simple_spinner_item, rows);
    adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
    spinner.setOnItemSelectedListener(null);
    spinner.setAdapter(adapter);
    spinner.setSelection(chosen, false);
    spinner.setOnItemSelectedListener(whenChosen);
  }

  /** A list's listener without the half that is never needed. */
  private abstract static class Chosen implements AdapterView.OnItemSelectedListener {
    abstract void chosen(int index);

    @Override
    public void onItemSelected(AdapterView<?> list, View row, int index, long id) {
      chosen(index);
    }

    @Override
    public void onNothingSelected(AdapterView<?> list) {}
  }
}
