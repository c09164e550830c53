package edgecap.demo;

import android.app.Activity;
import android.view.Gravity;
import android.view.SurfaceView;
import android.view.View;
import android.widget.ArrayAdapter;
import android.widget.Button;
import android.widget.FrameLayout;
import android.widget.ListView;
import android.widget.TextView;
import edgecap.core.Event;
import edgecap.core.Prediction;
import java.util.ArrayList;
import java.util.Locale;

/** What the activity shows: answer, bars, events, figures, and what has gone wrong. */
final class Screen {
  private static final int EVENTS_KEPT = 50;

  final SurfaceView preview;

  private final Activity activity;
  private final FrameLayout previewFrame;
  private final TextView answer;
  private final TextView figures;
  private final BarsView bars;
  private final View problemBox;
  private final TextView problem;
  private final Button problemAction;
  private final ArrayAdapter<String> events;
  private double startedS = Double.NaN;

  Screen(Activity activity) {
    this.activity = activity;
    preview = (SurfaceView) activity.findViewById(R.id.preview);
    previewFrame = (FrameLayout) activity.findViewById(R.id.preview_frame);
    answer = (TextView) activity.findViewById(R.id.answer);
    figures = (TextView) activity.findViewById(R.id.figures);
    bars = (BarsView) activity.findViewById(R.id.bars);
    problemBox = activity.findViewById(R.id.problem_box);
    problem = (TextView) activity.findViewById(R.id.problem);
    problemAction = (Button) activity.findViewById(R.id.problem_action);
    events = new ArrayAdapter<>(activity, R.layout.event, new ArrayList<String>());
    ((ListView) activity.findViewById(R.id.events)).setAdapter(events);
  }

  /** Nothing is known yet of a model that is being loaded. */
  void showLoading(ModelSource source) {
    answer.setText(activity.getString(R.string.loading, source));
    figures.setText("");
    bars.show(null, null);
    events.clear();
    startedS = Double.NaN;
  }

  void showAnswer(Answer of) {
    Prediction prediction = of.prediction;
    if (Double.isNaN(startedS)) {
      startedS = prediction.timestampS;
    }
    if (!prediction.settled) {
      answer.setText(R.string.settling);
    } else if (of.spec.task.equals("classification")) {
      int best = prediction.best();
      answer.setText(
          String.format(
              Locale.US, "%s  %.2f", of.spec.labels.get(best), prediction.values[best]));
    } else {
      answer.setText(of.spec.task.equals("regression") ? "" : join(prediction));
    }
    bars.show(of.spec, prediction);
    for (Event event : prediction.events) {
      events.insert(
          String.format(
              Locale.US, "%7.1f s  %-5s  %s  %.2f", event.timestampS - startedS,
              event.start ? "start" : "end", event.label, event.score), 0);
    }
    while (events.getCount() > EVENTS_KEPT) {
      events.remove(events.getItem(events.getCount() - 1));
    }
    figures.setText(describe(of));
  }

  /**
   * Says what is wrong, over the preview.
   *
   * @param action what the button does, with its text in {@code actionText}; null for no button
   */
  void showProblem(CharSequence text, int actionText, View.OnClickListener action) {
    problem.setText(text);
    problemAction.setVisibility(action == null ? View.GONE : View.VISIBLE);
    if (action != null) {
      problemAction.setText(actionText);
    }
    problemAction.setOnClickListener(action);
    problemBox.setVisibility(View.VISIBLE);
  }

  void hideProblem() {
    problemBox.setVisibility(View.GONE);
  }

  /** Gives the preview the camera's aspect as the phone is held, as large as fits. */
  void fitPreview(CameraChoice choice) {
    boolean turned = choice.view.previewTurned();
    double width = turned ? choice.size.getHeight() : choice.size.getWidth();
    double height = turned ? choice.size.getWidth() : choice.size.getHeight();
    double scale =
        Math.min(previewFrame.getWidth() / width, previewFrame.getHeight() / height);
    if (scale > 0) {
      preview.setLayoutParams(
          new FrameLayout.LayoutParams(
              (int) (width * scale), (int) (height * scale), Gravity.CENTER));
    }
  }

  private static String join(Prediction prediction) {
    StringBuilder joined = new StringBuilder();
    for (String label : prediction.active) {
      joined.append(joined.length() > 0 ? ", " : "").append(label);
    }
    return joined.length() > 0 ? joined.toString() : "–";
  }

  private static String describe(Answer of) {
    String text =
        String.format(
            Locale.US, "step ms p50 %.1f  p95 %.1f  p99 %.1f\n%d answered, %d dropped, %d resets",
            of.stepMs[0], of.stepMs[1], of.stepMs[2], of.answered, of.dropped, of.resets);
    if (of.latencyMs == null) {
      return text;
    }
    return text
        + String.format(
            Locale.US, "\nfrom camera ms p50 %.0f  p95 %.0f  p99 %.0f",
            of.latencyMs[0], of.latencyMs[1], of.latencyMs[2]);
  }
}
