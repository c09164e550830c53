// OpenCV's INTER_LINEAR for uint8, byte for byte, in JavaScript: what the model was trained on.
//
// A browser's own scaling differs from one to the next, so frames are taken at their full size and
// resized here. OpenCV works in fixed point: coefficients of 11 bits, rows first, and the column's
// sum as VResizeLinear<uchar, int, short> rounds it (modules/imgproc/src/resize.cpp).

const ONE = 2048;

/**
 * Where each pixel of the result lies in the source, and with which weights.
 *
 * @param {number} from pixels of the source @param {number} to of the result
 * @param {boolean} rows whether both neighbours are weighed at the edges too, as OpenCV does it for rows
 * @returns {{first: Int32Array, second: Int32Array, a: Int32Array, b: Int32Array}} neighbours and weights
 */
function places(from, to, rows) {
  const made = { first: new Int32Array(to), second: new Int32Array(to), a: new Int32Array(to), b: new Int32Array(to) };
  const scale = 1 / (to / from);
  for (let n = 0; n < to; n++) {
    let at = Math.fround((n + 0.5) * scale - 0.5), whole = Math.floor(at);
    at = Math.fround(at - whole);
    if (!rows) {
      if (whole < 0) [at, whole] = [0, 0];
      if (whole >= from - 1) [at, whole] = [0, from - 1];
    }
    made.first[n] = Math.min(Math.max(whole, 0), from - 1);
    made.second[n] = Math.min(Math.max(whole + 1, 0), from - 1);
    made.a[n] = roundHalfEven(Math.fround(Math.fround(1 - at) * ONE));
    made.b[n] = roundHalfEven(Math.fround(at * ONE));
  }
  return made;
}

/** Resizes pictures of one size to another, again and again; keeps what does not change. */
export class LinearResizer {
  /**
   * @param {{width: number, height: number}} part of the source that is used
   * @param {{width: number, height: number}} target
   */
  constructor(part, target) {
    this.target = target;
    this.columns = places(part.width, target.width, false);
    this.rows = places(part.height, target.height, true);
    this.same = part.width === target.width && part.height === target.height;
    // Two rows of the source, resized in their width: in units of 1/2048.
    this.lines = [new Int32Array(target.width * 3), new Int32Array(target.width * 3)];
  }

  /**
   * @param {Uint8Array | Uint8ClampedArray} source RGBA, row by row
   * @param {number} stride bytes from one row of the source to the next
   * @param {number} origin byte at which the used part begins
   * @param {Uint8Array} into (height, width, 3) RGB, filled
   */
  run(source, stride, origin, into) {
    if (this.same) return this.copy(source, stride, origin, into);
    const { rows, target } = this, width = target.width * 3;
    const kept = [-1, -1];
    let [upper, lower] = this.lines;
    for (let y = 0, at = 0; y < target.height; y++) {
      const first = rows.first[y], second = rows.second[y];
      // Going down, what was the lower row is often the upper one next.
      if (kept[1] === first && kept[0] !== first) {
        [upper, lower] = [lower, upper];
        kept.reverse();
      }
      if (kept[0] !== first) this.line(source, origin + first * stride, upper);
      if (kept[1] !== second) this.line(source, origin + second * stride, lower);
      kept[0] = first;
      kept[1] = second;
      const a = rows.a[y], b = rows.b[y];
      for (let x = 0; x < width; x++, at++) {
        into[at] = (((a * (upper[x] >> 4)) >> 16) + ((b * (lower[x] >> 4)) >> 16) + 2) >> 2;
      }
    }
    return into;
  }

  line(source, origin, into) {
    const { first, second, a, b } = this.columns;
    for (let x = 0, at = 0; x < this.target.width; x++) {
      const left = origin + 4 * first[x], right = origin + 4 * second[x], wa = a[x], wb = b[x];
      into[at++] = source[left] * wa + source[right] * wb;
      into[at++] = source[left + 1] * wa + source[right + 1] * wb;
      into[at++] = source[left + 2] * wa + source[right + 2] * wb;
    }
  }

  copy(source, stride, origin, into) {
    const { width, height } = this.target;
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0, from = origin + y * stride; x < width; x++, from += 4) {
        into[at++] = source[from];
        into[at++] = source[from + 1];
        into[at++] = source[from + 2];
      }
    }
    return into;
  }
}

/** As C's rint() and Python's round(): ties go to the even number. */
export function roundHalfEven(value) {
  const below = Math.floor(value), rest = value - below;
  if (rest < 0.5) return below;
  if (rest > 0.5) return below + 1;
  return below % 2 === 0 ? below : below + 1;
}
