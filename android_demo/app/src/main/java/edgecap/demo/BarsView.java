package edgecap.demo;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.util.AttributeSet;
import android.view.View;
import edgecap.core.ModelSpec;
import edgecap.core.Prediction;
import java.util.Locale;

/** A row for each label: its name, a bar of its probability, and the number. */
public final class BarsView extends View {
  private static final int QUIET = 0xFF80CBC4;
  private static final int ACTIVE = 0xFFFFB74D;
  private static final float NAME_SHARE = 0.38f;
  private static final float NUMBER_SHARE = 0.16f;

  private final Paint text = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final Paint bar = new Paint();
  private final float row;
  private ModelSpec spec;
  private Prediction prediction;

  /** As layouts make it. */
  public BarsView(Context context, AttributeSet attributes) {
    super(context, attributes);
    float scale = getResources().getDisplayMetrics().scaledDensity;
    text.setColor(0xFFFFFFFF);
    text.setTextSize(14 * scale);
    row = 22 * scale;
  }

  /** Shows an answer; null for none. */
  void show(ModelSpec newSpec, Prediction newPrediction) {
    if (newSpec != spec) {
      spec = newSpec;
      requestLayout();
    }
    prediction = newPrediction;
    invalidate();
  }

  @Override
  protected void onMeasure(int widthSpec, int heightSpec) {
    int rows = spec == null ? 0 : spec.labels.size();
    setMeasuredDimension(
        MeasureSpec.getSize(widthSpec), resolveSize((int) Math.ceil(rows * row), heightSpec));
  }

  @Override
  protected void onDraw(Canvas canvas) {
    super.onDraw(canvas);
    if (prediction == null) {
      return;
    }
    boolean numbers = spec.task.equals("regression");
    float left = getWidth() * NAME_SHARE;
    float longest = getWidth() * (1 - NAME_SHARE - NUMBER_SHARE);
    for (int i = 0; i < spec.labels.size(); i++) {
      float top = i * row;
      float base = top + row * 0.7f;
      float value = prediction.values[i];
      canvas.save();
      canvas.clipRect(0, top, left - 4, top + row);
      canvas.drawText(spec.labels.get(i), 0, base, text);
      canvas.restore();
      if (!numbers) {
        bar.setColor(prediction.active.contains(spec.labels.get(i)) ? ACTIVE : QUIET);
        canvas.drawRect(left, top + row * 0.2f, left + longest * value, top + row * 0.8f, bar);
      }
      String number = String.format(Locale.US, numbers ? "%.4f" : "%.2f", value);
      canvas.drawText(number, getWidth() - text.measureText(number), base, text);
    }
  }
}
