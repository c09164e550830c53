// Reads the tensor table of a .tflite file, every offset checked before it is followed; the twin of
// edgecap/flatbuffer.py. No byte reaches the WebAssembly module before this has read the file.

import { ModelFileError } from "./errors.js";

const DTYPES = {
  0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16",
  9: "int8", 10: "float64", 13: "resource", 17: "int4",
};
// Operators that keep state inside the interpreter, or need more than a TFLite runtime.
const HIDING = {
  32: "CUSTOM", 118: "IF", 119: "WHILE", 129: "CALL_ONCE", 142: "VAR_HANDLE", 143: "READ_VARIABLE",
  144: "ASSIGN_VARIABLE",
};
const MOST_ENTRIES = 1 << 16, MOST_ENTRIES_READ = 1 << 21, MOST_RANK = 8;

class DamagedError extends Error {}

/** Whether the bytes begin as a TFLite flatbuffer does. */
export function isFlatbuffer(data) {
  return data.length >= 8 && String.fromCharCode(...data.subarray(4, 8)) === "TFL3";
}

/**
 * Reads the first subgraph.
 *
 * @param {Uint8Array} data the flatbuffer, without anything appended
 * @returns {{tensors: {name: string, shape: number[], dtype: string, scales: number[], zeroPoints: number[],
 *   isVariable: boolean}[], hiding: string[], signatures: Map<string, {inputs: Map<string, number>,
 *   outputs: Map<string, number>}>, subgraphs: number}}
 * @throws {ModelFileError} not a TFLite flatbuffer, or damaged
 */
export function readGraph(data) {
  if (!isFlatbuffer(data)) {
    throw new ModelFileError(
      "expected a TFLite flatbuffer (bytes 4 to 7 read TFL3); this file is something else");
  }
  try {
    const reader = new Reader(data);
    return readModel(new Table(reader, reader.view.getUint32(0, true)));
  } catch (error) {
    if (error instanceof ModelFileError) throw error;
    if (error instanceof DamagedError || error instanceof RangeError || error instanceof TypeError) {
      throw new ModelFileError(`the TFLite flatbuffer is damaged: ${error.message}`);
    }
    throw error;
  }
}

function readModel(model) {
  const subgraphs = model.tables(2);
  if (!subgraphs.length) throw new ModelFileError("the TFLite flatbuffer is damaged: it has no subgraph");
  // Codes up to 126 stand in the old byte field, larger ones in the new field.
  const codes = model.tables(1).map((code) => Math.max(code.number(0, "int8"), code.number(3, "int32")));
  const [main] = subgraphs;
  const tensors = main.tables(0).map(readTensor);
  const hiding = new Set();
  for (const operator of main.tables(3)) {
    const code = codes[operator.number(0, "uint32")];
    if (code === undefined) throw new DamagedError("an operator has no code");
    if (code in HIDING) hiding.add(HIDING[code]);
    for (const index of [...operator.numbers(1, "int32"), ...operator.numbers(2, "int32")]) {
      if (!(index >= -1 && index < tensors.length)) throw new DamagedError(`an operator names tensor ${index}`);
    }
  }
  const signatures = new Map();
  for (const signature of model.tables(7)) {
    if (signature.number(4, "uint32") !== 0) continue;
    signatures.set(signature.text(2), {
      inputs: readMap(signature, 0, tensors.length), outputs: readMap(signature, 1, tensors.length),
    });
  }
  for (const index of [...main.numbers(1, "int32"), ...main.numbers(2, "int32")]) {
    if (!(index >= 0 && index < tensors.length)) throw new DamagedError(`the subgraph names tensor ${index}`);
  }
  return { tensors, hiding: [...hiding].sort(), signatures, subgraphs: subgraphs.length };
}

function readTensor(table, index) {
  const quantization = table.table(4), shape = table.numbers(0, "int32");
  if (shape.length > MOST_RANK) throw new DamagedError(`tensor ${index} has ${shape.length} dimensions`);
  return {
    name: table.text(3),
    shape,
    dtype: DTYPES[table.number(1, "int8")] ?? "other",
    scales: quantization ? quantization.numbers(2, "float32") : [],
    zeroPoints: quantization ? quantization.numbers(3, "int64") : [],
    isVariable: table.number(5, "int8") !== 0,
  };
}

function readMap(signature, field, tensors) {
  const found = new Map();
  for (const entry of signature.tables(field)) {
    const name = entry.text(0), index = entry.number(1, "uint32");
    if (index >= tensors) throw new DamagedError(`signature entry '${name}' names tensor ${index}`);
    found.set(name, index);
  }
  return found;
}

const READ = {
  int8: [1, (view, at) => view.getInt8(at)],
  int32: [4, (view, at) => view.getInt32(at, true)],
  uint32: [4, (view, at) => view.getUint32(at, true)],
  float32: [4, (view, at) => view.getFloat32(at, true)],
  int64: [8, (view, at) => Number(view.getBigInt64(at, true))],
};

/** The bytes, and how many vector entries may still be read from them: vectors can share bytes. */
class Reader {
  constructor(data) {
    this.data = data;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.left = MOST_ENTRIES_READ;
  }

  spend(entries) {
    this.left -= entries;
    if (this.left < 0) throw new DamagedError("it claims to hold more than any model does");
  }
}

/** A position, and a vtable that says where its fields are. */
class Table {
  constructor(reader, position) {
    this.reader = reader;
    this.position = position;
    this.vtable = position - reader.view.getInt32(position, true);
    if (this.vtable < 0) throw new DamagedError(`a table at ${position} points before the file`);
    this.vtableSize = reader.view.getUint16(this.vtable, true);
  }

  place(field) {
    const slot = 4 + 2 * field;
    if (slot + 2 > this.vtableSize) return null;
    const offset = this.reader.view.getUint16(this.vtable + slot, true);
    return offset ? this.position + offset : null;
  }

  number(field, kind) {
    const place = this.place(field);
    return place === null ? 0 : READ[kind][1](this.reader.view, place);
  }

  /** Where a vector's items begin, and how many; checked to lie inside the file. */
  vector(field, size) {
    const place = this.place(field);
    if (place === null) return [0, 0];
    const start = place + this.reader.view.getUint32(place, true);
    const length = this.reader.view.getUint32(start, true);
    if (length > MOST_ENTRIES || start + 4 + length * size > this.reader.data.length) {
      throw new DamagedError(`a vector of ${length} entries at ${start} leaves the file`);
    }
    this.reader.spend(length);
    return [start + 4, length];
  }

  numbers(field, kind) {
    const [size, get] = READ[kind];
    const [start, length] = this.vector(field, size);
    return Array.from({ length }, (_, n) => get(this.reader.view, start + n * size));
  }

  text(field) {
    const [start, length] = this.vector(field, 1);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.reader.data.subarray(start, start + length));
  }

  table(field) {
    const place = this.place(field);
    return place === null ? null : new Table(this.reader, place + this.reader.view.getUint32(place, true));
  }

  tables(field) {
    const [start, length] = this.vector(field, 4);
    return Array.from({ length }, (_, n) => {
      const entry = start + 4 * n;
      return new Table(this.reader, entry + this.reader.view.getUint32(entry, true));
    });
  }
}
