// Where frames come from: a camera, a video, or pictures one after the other.
//
// Each source has `name`, `live` (frames are of now), `every` (none may be left out), `stop()` and
// `start(seen, ended)`. `seen({image, width, height, timestamp_s})` is called with each frame, whose
// `image` can be drawn on a canvas; `ended(why)` once at most, with what went wrong, or null.

import { cameraError, whyNoCamera } from "./browser.js";
import { SourceError } from "./errors.js";

// What is asked for; small, since the model's input is smaller still and pixels are copied.
const WANTED = { width: { ideal: 640 }, height: { ideal: 480 } };

/** A camera, in its own time. */
export class CameraSource {
  constructor(stream) {
    this.live = true;
    this.stream = stream;
    this.track = stream.getVideoTracks()[0];
    this.name = this.track.label || "camera";
    this.device = this.track.getSettings().deviceId ?? "";
    this.video = quiet(document.createElement("video"));
    this.video.srcObject = stream;
  }

  /**
   * @param {string} device its id, or "" for the one that looks away from a phone's owner
   * @throws {SourceError} there is none, or it may not be used
   */
  static async open(device) {
    const why = whyNoCamera();
    if (why !== null) throw new SourceError(why);
    const which = device ? { deviceId: { exact: device } } : { facingMode: { ideal: "environment" } };
    try {
      return new CameraSource(await navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...which }, audio: false }));
    } catch (error) {
      throw new SourceError(cameraError(error));
    }
  }

  async start(seen, ended) {
    this.track.addEventListener("ended", () => ended(
      "The camera was lost: it was unplugged, or may not be used any more. Press Camera to open it again."));
    this.frames = new VideoFrames(this.video, (_, at_s) => seen({ ...sizeOf(this.video), timestamp_s: at_s }));
    await this.video.play();
  }

  stop() {
    this.frames?.stop();
    this.stream.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
  }
}

/** A video file, played at its own speed; times are places in it. */
export class VideoSource {
  constructor(file, video, address) {
    this.live = false;
    this.name = file.name;
    this.video = video;
    this.address = address;
  }

  /** @throws {SourceError} the browser cannot play it */
  static async open(file) {
    const address = URL.createObjectURL(file), video = quiet(document.createElement("video"));
    try {
      await new Promise((resolve, reject) => {
        video.addEventListener("loadeddata", resolve, { once: true });
        video.addEventListener("error", reject, { once: true });
        video.src = address;
      });
      if (!video.videoWidth) throw new Error("no picture");
    } catch {
      URL.revokeObjectURL(address);
      throw new SourceError(
        `${file.name} cannot be played: expected a video that this browser knows, such as MP4 with H.264 or WebM with VP9.`);
    }
    return new VideoSource(file, video, address);
  }

  async start(seen, ended) {
    this.frames = new VideoFrames(this.video, (place_s) => seen({ ...sizeOf(this.video), timestamp_s: place_s }));
    this.video.addEventListener("ended", () => ended(null));
    this.video.addEventListener("error", () => ended(`${this.name} cannot be played any further: it is damaged.`));
    await this.video.play();
  }

  get paused() {
    return this.video.paused;
  }

  pause() {
    this.video.pause();
  }

  resume() {
    return this.video.play();
  }

  stop() {
    this.frames?.stop();
    this.video.pause();
    this.video.removeAttribute("src");
    URL.revokeObjectURL(this.address);
  }
}

/** Pictures in the order of their names, one for each period of the model; none is left out. */
export class PictureSource {
  /** @param {File[]} files @param {number} rate_hz the model's */
  constructor(files, rate_hz) {
    this.live = false;
    this.every = true;
    this.files = [...files].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    this.rate_hz = rate_hz;
    this.name = files.length === 1 ? files[0].name : `${files.length} pictures`;
    this.running = false;
  }

  async start(seen, ended) {
    this.running = true;
    for (const [index, file] of this.files.entries()) {
      let image;
      try {
        // The values as they stand in the file, as OpenCV reads them: no colour profile is applied.
        image = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
      } catch {
        return ended(`${file.name} is no picture that this browser can read.`);
      }
      if (!this.running) return image.close();
      await seen({ image, width: image.width, height: image.height, timestamp_s: index / this.rate_hz });
      image.close();
    }
    if (this.running) ended(null);
  }

  stop() {
    this.running = false;
  }
}

/** Calls back for each new frame of a video: with its place in the video and with the time of day, in seconds. */
class VideoFrames {
  constructor(video, seen) {
    this.running = true;
    const exact = "requestVideoFrameCallback" in video;
    let before = -1;
    const next = (now_ms, about) => {
      if (!this.running) return;
      const place_s = about?.mediaTime ?? video.currentTime;
      // Without the exact callback the screen's is taken, which also comes when nothing is new.
      if (exact || (place_s !== before && video.readyState >= 2)) seen(place_s, (about?.captureTime ?? now_ms) / 1000);
      before = place_s;
      ask();
    };
    const ask = () => (exact ? video.requestVideoFrameCallback(next) : requestAnimationFrame((now) => next(now)));
    ask();
  }

  stop() {
    this.running = false;
  }
}

const sizeOf = (video) => ({ image: video, width: video.videoWidth, height: video.videoHeight });

function quiet(video) {
  video.muted = true;
  video.playsInline = true;
  video.setAttribute("muted", "");
  return video;
}
