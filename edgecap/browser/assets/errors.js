// One class per cause, as in edgecap/errors.py. Each message says what was expected, what came, and what to do.

/** The base of every error that is thrown on purpose: its message is for people. */
export class EdgecapError extends Error {
  get name() { return this.constructor.name; }
}

/** The file is damaged, or no edgecap model. */
export class ModelFileError extends EdgecapError {}

/** The spec is malformed, or does not fit the graph that it describes. */
export class SpecError extends EdgecapError {}

/** A camera or a video cannot be opened or read. */
export class SourceError extends EdgecapError {}

/** The browser lacks what the page cannot do without. */
export class BrowserError extends EdgecapError {}
