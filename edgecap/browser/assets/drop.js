// Files that are dropped anywhere on the page.

/**
 * @param {HTMLElement} body is of class "dropping" while files are held over the page
 * @param {{models: (file: File) => void, frames: (files: File[]) => void}} use who takes them
 */
export function takeDrops(body, { models, frames }) {
  let inside = 0;
  const hold = (change) => {
    inside = change === 0 ? 0 : inside + change;
    body.classList.toggle("dropping", inside > 0);
  };
  addEventListener("dragenter", () => hold(1));
  addEventListener("dragleave", () => hold(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    hold(0);
    const files = [...event.dataTransfer.files];
    if (!files.length) return;
    // What is no video and no picture is taken for a model; whether it is one is looked at there.
    if (files.some(({ type }) => /^(video|image)\//.test(type))) frames(files); else models(files[0]);
  });
}
