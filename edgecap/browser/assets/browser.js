// What this browser can do, and cannot, in plain words.

import { BrowserError } from "./errors.js";

// (func (result v128) i32.const 0, i8x16.splat, i8x16.popcnt): fixed-width SIMD, and nothing else.
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);

export const NO_CAMERA_HERE =
  "Browsers give a camera only to pages that came over https or from this very machine (localhost); this one came " +
  "over plain http from elsewhere. Open it over https, or choose a video.";

/** @throws {BrowserError} the model cannot run here at all */
export function checkBrowser(scope = globalThis) {
  const { WebAssembly } = scope;
  if (!WebAssembly) {
    throw new BrowserError("This browser has no WebAssembly, or it is turned off: the model cannot run. Update it, or leave its lockdown mode for this page.");
  }
  if (!WebAssembly.validate(SIMD)) {
    throw new BrowserError("This browser's WebAssembly has no SIMD, which the model needs: Chrome and Edge have it from 91, Firefox from 89, Safari from 16.4 on. Update the browser.");
  }
}

/** Why no camera can be had here, or null. */
export function whyNoCamera(scope = globalThis) {
  if (!scope.isSecureContext) return NO_CAMERA_HERE;
  if (!scope.navigator.mediaDevices?.getUserMedia) return "This browser gives pages no camera. Choose a video, or another browser.";
  return null;
}

const CAMERA_ERRORS = {
  NotAllowedError:
    "The camera was not allowed. Allow it for this page (the sign beside the address, or the browser's site settings), then press Camera again. A video needs no permission.",
  NotFoundError: "There is no camera. Connect one and press Camera again, or choose a video.",
  NotReadableError: "The camera cannot be opened: another program or page has it. Close that one, then press Camera again.",
  OverconstrainedError: "That camera is not there any more. Choose another one, or press Camera again.",
};

/** What to tell of an error that getUserMedia threw. */
export function cameraError(error) {
  return CAMERA_ERRORS[error.name] ?? `The camera cannot be opened: ${error.message || error.name}. Press Camera to try again.`;
}

/** Why the page does not work without a network later, or null. */
export function whyNotOffline(scope = globalThis) {
  if (!scope.isSecureContext) return "no: it came over plain http";
  if (!scope.navigator.serviceWorker) return "no: this browser keeps no pages (a private window?)";
  return null;
}

/**
 * Has the browser keep the page.
 *
 * @param {(told: string, kept: boolean) => void} tell called with how far that is
 * @param {() => void} renewed called when a newer one was fetched, which the next loading shows
 */
export async function keepOffline(tell, renewed) {
  const why = whyNotOffline();
  if (why !== null) return tell(why, false);
  // The first one that takes over is the one that is shown.
  if (navigator.serviceWorker.controller) navigator.serviceWorker.addEventListener("controllerchange", renewed);
  tell("not yet: being kept", false);
  try {
    await navigator.serviceWorker.register("service-worker.js");
    await navigator.serviceWorker.ready;
    tell("yes: page and model are kept", true);
  } catch (error) {
    // The one before still serves what it kept.
    const kept = navigator.serviceWorker.controller !== null;
    tell(kept ? "yes: page and model are kept" : `no: ${error.message}`, kept);
  }
}
