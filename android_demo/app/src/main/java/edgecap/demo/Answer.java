package edgecap.demo;

import edgecap.core.ModelSpec;
import edgecap.core.Prediction;

/** What one frame was answered with, and how the run does; for the screen. */
final class Answer {
  final ModelSpec spec;
  final Prediction prediction;

  /** p50, p95 and p99 in milliseconds: converting the frame, the network and the decision. */
  final float[] stepMs;

  /** Likewise from the camera's time stamp to the answer; null where its clock is not ours. */
  final float[] latencyMs;

  final long answered;

  /** Frames that came while a newer one was there already. */
  final long dropped;

  /** How often a pause has reset the state. */
  final int resets;

  Answer(ModelSpec spec, Prediction prediction, float[] stepMs, float[] latencyMs,
      long answered, long dropped, int resets) {
    this.spec = spec;
    this.prediction = prediction;
    this.stepMs = stepMs;
    this.latencyMs = latencyMs;
    this.answered = answered;
    this.dropped = dropped;
    this.resets = resets;
  }
}
