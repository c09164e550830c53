// Lines over the last half minute, that move with time and not with the messages.

const LEFT = 44, RIGHT = 10, BOTTOM = 22, TOP = 10, GAP = 14, LANE = 6;
const MOST_STRIPS = 4;

/** A round number near a third of the span, for lines to read values from. */
function step(span) {
  const unit = 10 ** Math.floor(Math.log10(span / 3));
  return [1, 2, 5, 10].map((n) => n * unit).find((n) => span / n <= 3.5) ?? 10 * unit;
}

export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e6 || size < 1e-3) ? value.toExponential(1)
    : String(+value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3));
  return text.replaceAll("-", "−");
}

export class Chart {
  constructor(canvas, about) {
    this.canvas = canvas;
    this.about = about;
    this.context = canvas.getContext("2d");
    this.scales = new Map();
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.fit();
  }

  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /**
   * @param rows    [[clock_s, values], …], oldest first
   * @param now     clock at the right edge
   * @param lines   [{index, label, color}]: what to draw, the most important last
   * @param bands   [{label, color, from, to}]: events
   * @param colors  {ink, soft, quiet, line}
   */
  draw({ rows, now, lines, bands, colors }) {
    if (!this.width) return;
    const { context, about } = this;
    context.clearRect(0, 0, this.width, this.height);
    context.font = "13px system-ui, -apple-system, 'Segoe UI', Roboto, Inter, sans-serif";
    this.perSecond = (this.width - LEFT - RIGHT) / about.history_s;
    this.x = (clock) => this.width - RIGHT - (now - clock) * this.perSecond;
    const bottom = this.height - BOTTOM;
    this.times(bottom, colors);
    if (about.task !== "regression") {
      // Where several events may be under way at once, each label has a lane of its own.
      const lanes = about.task === "multilabel" ? [...new Set(lines.map(({ label }) => label))] : [];
      const strip = { top: TOP + LANE * lanes.length, bottom, low: 0, high: 1 };
      this.levels(strip, [0, 0.5, 1], (v) => `${v * 100}%`, colors);
      if (lanes.length) this.lanes(bands, lanes); else this.bands(bands, strip);
      this.threshold(strip, colors);
      this.lines(rows, lines, strip);
      return;
    }
    // Each number has a scale of its own: an angle and a speed share none.
    const groups = lines.length <= MOST_STRIPS ? lines.map((line) => [line]) : [lines];
    const height = (bottom - TOP - GAP * (groups.length - 1)) / groups.length;
    groups.forEach((group, n) => {
      const top = TOP + n * (height + GAP);
      const { low, high } = this.scale(n, rows, group);
      const strip = { top, bottom: top + height, low, high };
      const by = step(high - low), levels = [];
      for (let v = Math.ceil(low / by) * by; v <= high + by * 1e-6; v += by) levels.push(Math.abs(v) < by * 1e-6 ? 0 : v);
      this.levels(strip, levels, short, colors);
      this.lines(rows, group, strip);
    });
  }

  /** From the lowest to the highest value in sight; it follows slowly, so that lines do not jump. */
  scale(n, rows, lines) {
    let low = Infinity, high = -Infinity;
    for (const [, values] of rows) {
      for (const { index } of lines) {
        const value = values[index];
        if (value === null || value === undefined) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    if (low > high) [low, high] = [0, 1];
    const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    const goal = { low: low - room, high: high + room };
    const was = this.scales.get(n) ?? goal;
    const scale = { low: was.low + (goal.low - was.low) * 0.15, high: was.high + (goal.high - was.high) * 0.15 };
    this.scales.set(n, scale);
    return scale;
  }

  times(bottom, colors) {
    const { context, about } = this;
    context.fillStyle = colors.quiet;
    context.textBaseline = "top";
    for (let ago = 0; ago <= about.history_s; ago += 10) {
      const x = this.width - RIGHT - ago * this.perSecond;
      context.textAlign = ago === 0 ? "right" : "center";
      context.fillText(ago === 0 ? "now" : `−${ago} s`, ago === 0 ? x + RIGHT - 2 : Math.max(x, 20), bottom + 7);
    }
  }

  levels(strip, values, told, colors) {
    const { context } = this;
    context.lineWidth = 1;
    context.strokeStyle = colors.line;
    context.fillStyle = colors.quiet;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of values) {
      const y = Math.round(place(value, strip)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(this.width - RIGHT, y);
      context.stroke();
      context.fillText(told(value), LEFT - 7, y);
    }
  }

  threshold(strip, colors) {
    const { context, about } = this;
    if (about.enter === null) return;
    const y = Math.round(place(about.enter, strip)) + 0.5;
    context.strokeStyle = colors.quiet;
    context.setLineDash([2, 5]);
    context.beginPath();
    context.moveTo(LEFT, y);
    context.lineTo(this.width - RIGHT, y);
    context.stroke();
    context.setLineDash([]);
  }

  lanes(bands, lanes) {
    const { context } = this;
    for (const { label, color, from, to } of bands) {
      const lane = lanes.indexOf(label);
      const left = Math.max(LEFT, this.x(from));
      const right = Math.min(this.width - RIGHT, this.x(to));
      if (lane < 0 || right <= LEFT || right <= left) continue;
      context.fillStyle = color;
      context.fillRect(left, lane * LANE + 2, Math.max(2, right - left), LANE - 2);
    }
  }

  bands(bands, strip) {
    const { context } = this;
    context.textAlign = "left";
    context.textBaseline = "top";
    for (const { label, color, from, to } of bands) {
      const left = Math.max(LEFT, this.x(from));
      const right = Math.min(this.width - RIGHT, this.x(to));
      if (right <= LEFT || right <= left) continue;
      context.fillStyle = color;
      context.globalAlpha = 0.13;
      context.fillRect(left, strip.top, right - left, strip.bottom - strip.top);
      context.globalAlpha = 1;
      context.fillRect(left, strip.top - 3, Math.max(2, right - left), 3);
      if (context.measureText(label).width < right - left - 10) context.fillText(label, left + 6, strip.top + 4);
    }
  }

  lines(rows, lines, strip) {
    const { context, about } = this;
    const apart = Math.max(4 / about.rate_hz, 1);
    context.save();
    context.beginPath();
    context.rect(LEFT, strip.top - 4, this.width - LEFT - RIGHT + 6, strip.bottom - strip.top + 8);
    context.clip();
    context.lineJoin = "round";
    for (const { index, color, thin } of lines) {
      context.strokeStyle = context.fillStyle = color;
      context.lineWidth = thin ? 1.25 : 2.25;
      context.beginPath();
      let before = -Infinity, x = 0, y = 0, open = false;
      for (const [clock, values] of rows) {
        const value = values[index];
        if (value === null || value === undefined) { open = false; continue; }
        x = this.x(clock);
        y = place(value, strip);
        if (open && clock - before <= apart) context.lineTo(x, y); else context.moveTo(x, y);
        before = clock;
        open = true;
      }
      context.stroke();
      if (open && !thin && y < strip.bottom - 4) {
        context.beginPath();
        context.arc(x, y, 3.5, 0, 7);
        context.fill();
      }
    }
    context.restore();
  }
}

function place(value, { top, bottom, low, high }) {
  return bottom - ((value - low) / (high - low)) * (bottom - top);
}
