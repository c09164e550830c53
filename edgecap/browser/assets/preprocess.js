// A frame → the model's image; the twin of edgecap/preprocess.py.

import { LinearResizer, roundHalfEven } from "./resize.js";

/** Turns frames into the image tensor, reusing one buffer. */
export class Preprocessor {
  /** @param {object} input the spec's input */
  constructor(input) {
    const [, height, width] = input.tensor.shape;
    this.size = { width, height };
    this.crop = input.fit === "crop";
    this.floats = input.tensor.dtype === "float32" ? new Float32Array(height * width * 3) : null;
    this.rgb = new Uint8Array(height * width * 3);
    this.signed = new Uint8Array(height * width * 3);
    this.known = "";
  }

  /**
   * @param {Uint8Array | Uint8ClampedArray} pixels RGBA of the whole frame, row by row
   * @param {number} width of the frame @param {number} height of the frame
   * @returns {Uint8Array} the image tensor's bytes, valid until the next call
   */
  run(pixels, width, height) {
    const key = `${width}×${height}`;
    if (key !== this.known) {
      this.known = key;
      this.part = this.crop ? cropped(width, height, this.size.width / this.size.height) : { left: 0, top: 0, width, height };
      this.resizer = new LinearResizer(this.part, this.size);
    }
    const stride = 4 * width;
    this.resizer.run(pixels, stride, this.part.top * stride + 4 * this.part.left, this.rgb);
    return this.imageOf(this.rgb);
  }

  /**
   * The image tensor of a picture that has the model's size already.
   *
   * @param {Uint8Array} rgb (H, W, 3)
   */
  imageOf(rgb) {
    if (this.floats) {
      const step = Math.fround(1 / 127.5);
      for (let n = 0; n < rgb.length; n++) this.floats[n] = (rgb[n] - 128) * step;
      return new Uint8Array(this.floats.buffer);
    }
    // On the camera's grid int8 = u8 − 128, which is one XOR of the sign bit.
    for (let n = 0; n < rgb.length; n++) this.signed[n] = rgb[n] ^ 0x80;
    return this.signed;
  }
}

/** The largest centred part with the given width over height. */
export function cropped(width, height, aspect) {
  if (width > height * aspect) {
    const keep = Math.max(1, roundHalfEven(height * aspect));
    return { left: Math.floor((width - keep) / 2), top: 0, width: keep, height };
  }
  const keep = Math.max(1, roundHalfEven(width / aspect));
  return { left: 0, top: Math.floor((height - keep) / 2), width, height: keep };
}
