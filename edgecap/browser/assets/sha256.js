// SHA-256 in JavaScript (FIPS 180-4): crypto.subtle exists on secure origins only, and a model that
// is opened from a page on plain HTTP is checked all the same.

const PRIMES = firstPrimes(64);
const FIRST = PRIMES.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
const K = Uint32Array.from(PRIMES, (p) => fraction(Math.cbrt(p)));

/**
 * @param {Uint8Array} data
 * @returns {string} 64 hexadecimal digits
 */
export function sha256Js(data) {
  const state = Uint32Array.from(FIRST), w = new Uint32Array(64);
  const whole = data.length - (data.length % 64);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at < whole; at += 64) block(state, w, view, at);
  const rest = data.subarray(whole);
  const tail = new Uint8Array(rest.length < 56 ? 64 : 128);
  tail.set(rest);
  tail[rest.length] = 0x80;
  const end = new DataView(tail.buffer);
  end.setUint32(tail.length - 8, Math.floor(data.length / 2 ** 29));
  end.setUint32(tail.length - 4, (data.length << 3) >>> 0);
  for (let at = 0; at < tail.length; at += 64) block(state, w, end, at);
  return hex(state);
}

/** The same, by the browser's own code where there is one: a promise of the digits. */
export async function sha256(data) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) return sha256Js(data);
  const digest = new DataView(await subtle.digest("SHA-256", data));
  return hex(Array.from({ length: 8 }, (_, n) => digest.getUint32(4 * n)));
}

function block(state, w, view, at) {
  for (let n = 0; n < 16; n++) w[n] = view.getUint32(at + 4 * n);
  for (let n = 16; n < 64; n++) {
    const a = w[n - 15], b = w[n - 2];
    const s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3), s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    w[n] = w[n - 16] + s0 + w[n - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let n = 0; n < 64; n++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25), choice = (e & f) ^ (~e & g);
    const t1 = (h + s1 + choice + K[n] + w[n]) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22), majority = (a & b) ^ (a & c) ^ (b & c);
    h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + s0 + majority) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((value, n) => { state[n] += value; });
}

const rotate = (value, bits) => (value >>> bits) | (value << (32 - bits));
const hex = (words) => Array.from(words, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

function fraction(root) {
  return Math.floor((root - Math.floor(root)) * 2 ** 32);
}

function firstPrimes(count) {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
}
