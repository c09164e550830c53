// How the run does, as a list of numbers.

const ms = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

function percentiles([p50, p95, p99]) {
  return [`${ms(p50)} ms`, `p95 ${ms(p95)} · p99 ${ms(p99)}`];
}

function uptime(seconds) {
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

const count = (number) => number.toLocaleString("en-GB").replaceAll(",", "\u202f");

/** Name, number, what stands below it in small letters, and whether it deserves a look. */
function entries({ health, viewers }, about) {
  const { fps, frames, dropped, step_ms: step, latency_ms: latency } = health;
  const taken = frames + dropped;
  // Each camera is asked for its frames at the model's rate.
  const wanted = about.rate_hz * about.cameras.length;
  const list = [["Frames a second", fps.toFixed(1), `model: ${+about.rate_hz.toFixed(2)}${about.cameras.length > 1 ? ` × ${about.cameras.length}` : ""}`, fps < 0.8 * wanted]];
  list.push(["Dropped", count(dropped), `${dropped ? `${((100 * dropped) / taken).toFixed(1)}% ` : ""}of ${count(taken)}`]);
  if (step.length) list.push(["Step, median", ...percentiles(step)]);
  if (latency.length) list.push(["Latency, median", ...percentiles(latency)]);
  if (health.temperature_c !== null) list.push(["Temperature", `${health.temperature_c.toFixed(0)} °C`, "", health.temperature_c >= 80]);
  if (health.memory_mb !== null) list.push(["Memory", `${health.memory_mb.toFixed(0)} MB`]);
  list.push(["Running for", uptime(health.uptime_s)]);
  if (about.task !== "regression") list.push(["Events", count(health.events)]);
  list.push(["Resets", count(health.resets), "after gaps"]);
  list.push(["Reconnects", count(health.restarts), "of cameras"]);
  list.push(["Viewers", count(viewers)]);
  return list;
}

export function fillHealth(place, told, about) {
  entries(told, about).forEach(([name, value, small = "", bad = false], n) => {
    let tile = place.children[n];
    if (!tile) {
      tile = document.createElement("div");
      tile.append(document.createElement("dt"), document.createElement("dd"));
      tile.lastElementChild.append(document.createElement("span"), document.createElement("small"));
      place.append(tile);
    }
    const [title, number] = tile.children;
    const [large, below] = number.children;
    tile.classList.toggle("bad", bad);
    for (const [element, text] of [[title, name], [large, value], [below, small]]) {
      if (element.textContent !== text) element.textContent = text;
    }
  });
  while (place.children.length > entries(told, about).length) place.lastElementChild.remove();
}
