// Asks for what is new, again and again, and says whether there is a connection.

const SOONEST_MS = 33, SILENT_MS = 3500, LONGEST_MS = 20000;
const PAUSES_MS = [300, 700, 1500, 3000];

const viewer = Array.from(crypto.getRandomValues(new Uint8Array(8)), (n) =>
  n.toString(16).padStart(2, "0")).join("");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** The parts of a message: the length of a JSON text, the text, and the pictures. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const told = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  for (const camera of told.cameras) {
    const size = camera.picture;
    camera.picture = size ? new Blob([new Uint8Array(buffer, at, size)], { type: "image/jpeg" }) : null;
    at += size;
  }
  return told;
}

/**
 * @param wanted   () => which pictures: {cameras: "0,2", size: "large"}
 * @param arrived  called with each message, one after the other
 * @param state    called with "live", or "none" and a line for the person
 */
export async function follow({ wanted, arrived, state }) {
  let run = "", number = -1, failures = 0, heard = performance.now();
  setInterval(() => {
    if (!document.hidden && performance.now() - heard > SILENT_MS) state("none", "");
  }, 500);
  for (;;) {
    if (document.hidden) {
      await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
      heard = performance.now();
      continue;
    }
    const began = performance.now();
    try {
      const query = new URLSearchParams({ run, after: number, viewer, ...wanted() });
      const answer = await fetch(`live?${query}`, {
        cache: "no-store", signal: AbortSignal.timeout(LONGEST_MS),
      });
      if (!answer.ok) {
        const line = answer.status < 500 || answer.status === 503 ? await answer.text() : "";
        throw Object.assign(new Error(line), { line: line.trim() });
      }
      const told = unpack(await answer.arrayBuffer());
      heard = performance.now();
      await arrived(told);
      ({ run, number } = told);
      failures = 0;
      state("live", "");
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException || "line" in error)) console.error(error);
      if (!document.hidden) state("none", error.line || "");
      await pause(PAUSES_MS[Math.min(failures++, PAUSES_MS.length - 1)]);
    }
    await pause(Math.max(0, SOONEST_MS - (performance.now() - began)));
  }
}
