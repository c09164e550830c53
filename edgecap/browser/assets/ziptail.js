// Reads the zip archive at the end of some bytes, as strictly as edgecap/ziptail.py does.
//
// Only what edgecap and NumPy write: stored and deflated members on one disk, none encrypted, sizes
// below 4 GiB. Every offset and size is checked before it is followed, no two members may share
// bytes, and a member may not unpack to more than its directory entry says.

import { BrowserError } from "./errors.js";

export const STORED = 0, DEFLATED = 8;

const END = 22, ENTRY = 46, LOCAL = 30;
const FLAGS = 0x0806 | 0x0008, UTF8 = 0x0800, VERSION = 63;
const MOST_COMMENT = 0xffff, MOST_MEMBERS = 64;

/** There is no archive, or one that cannot be read; says what is wrong. */
export class ZipError extends Error {}

/** There is no archive at all. */
export class NoZipError extends ZipError {}

/**
 * The directory of the archive that the bytes end with; offsets count from their first.
 *
 * @param {Uint8Array} data
 * @returns {{name: string, method: number, size: number, packed: number, crc: number, offset: number}[]}
 */
export function members(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const end = findEnd(view);
  const [disk, firstDisk, here, count] = [4, 6, 8, 10].map((at) => view.getUint16(end + at, true));
  const size = view.getUint32(end + 12, true), start = view.getUint32(end + 16, true);
  if (disk || firstDisk || here !== count) throw new ZipError("it says that it lies on several disks");
  if (count > MOST_MEMBERS) throw new ZipError(`its directory has ${count} entries; expected at most ${MOST_MEMBERS}`);
  if (start + size !== end) throw new ZipError("its directory does not lie where it says");
  const found = [];
  let at = start;
  for (let n = 0; n < count; n++) {
    if (at + ENTRY > end) throw new ZipError("its directory is cut short");
    const half = (offset) => view.getUint16(at + offset, true), word = (offset) => view.getUint32(at + offset, true);
    if (word(0) !== 0x02014b50 || half(34)) throw new ZipError("its directory is damaged");
    if (half(8) & ~FLAGS || half(6) > VERSION) {
      throw new ZipError("a member is encrypted, or of a kind that edgecap does not write");
    }
    const nameAt = at + ENTRY, nameSize = half(28);
    const next = nameAt + nameSize + half(30) + half(32);
    if (next > end) throw new ZipError("its directory is cut short");
    const name = decode(data.subarray(nameAt, nameAt + nameSize), Boolean(half(8) & UTF8));
    found.push({ name, method: half(10), crc: word(16), packed: word(20), size: word(24), offset: word(42) });
    at = next;
  }
  if (at !== end) throw new ZipError("its directory is larger than its entries");
  checkPlaces(data, view, found, start);
  return found;
}

/** The unpacked bytes of a member: a promise of a Uint8Array. */
export async function read(data, member) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [begin, end] = extent(data, view, member);
  const packed = data.subarray(begin, end);
  let unpacked;
  if (member.method === STORED) unpacked = packed.slice();
  else if (member.method === DEFLATED) unpacked = await inflate(packed, member);
  else throw new ZipError(`'${member.name}': expected a stored or deflated member of the zip`);
  if (unpacked.length !== member.size || crc32(unpacked) !== member.crc) {
    throw new ZipError(`'${member.name}' is not what the directory says: size or CRC-32 differ`);
  }
  return unpacked;
}

async function inflate(packed, member) {
  if (typeof DecompressionStream === "undefined") {
    throw new BrowserError(
      "this browser cannot unpack the model file: expected DecompressionStream, which Chrome and Edge have " +
      "from 103, Firefox from 113 and Safari from 16.4 on. Update the browser");
  }
  const result = new Uint8Array(member.size);
  let filled = 0;
  try {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const reader = stream.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      // A bomb shows here, before it is unpacked whole.
      if (filled + value.length > member.size) {
        await reader.cancel();
        throw new ZipError(`'${member.name}' does not unpack to the size in the directory`);
      }
      result.set(value, filled);
      filled += value.length;
    }
  } catch (error) {
    if (error instanceof ZipError) throw error;
    throw new ZipError(`'${member.name}' does not unpack: ${error.message}`);
  }
  if (filled !== member.size) throw new ZipError(`'${member.name}' does not unpack to the size in the directory`);
  return result;
}

/** Where the end record begins: the last one whose comment reaches to the end. */
function findEnd(view) {
  const length = view.byteLength, lowest = Math.max(0, length - END - MOST_COMMENT);
  for (let at = length - END; at >= lowest; at--) {
    if (view.getUint32(at, true) !== 0x06054b50) continue;
    if (at + END + view.getUint16(at + 20, true) === length) return at;
  }
  throw new NoZipError("there is no zip archive");
}

/** Where a member's packed bytes lie; its local header must say the same as its entry. */
function extent(data, view, member) {
  const { offset, name } = member;
  if (offset + LOCAL > data.length) throw new ZipError(`'${name}' lies behind the end`);
  const flags = view.getUint16(offset + 6, true), method = view.getUint16(offset + 8, true);
  const nameSize = view.getUint16(offset + 26, true), extraSize = view.getUint16(offset + 28, true);
  if (view.getUint32(offset, true) !== 0x04034b50 || method !== member.method || flags & ~FLAGS) {
    throw new ZipError(`'${name}' does not lie where the directory says`);
  }
  const nameAt = offset + LOCAL, expected = new TextEncoder().encode(name);
  const found = data.subarray(nameAt, nameAt + nameSize);
  if (found.length !== expected.length || found.some((byte, n) => byte !== expected[n])) {
    throw new ZipError(`'${name}' has another name where it lies`);
  }
  const begin = nameAt + nameSize + extraSize;
  return [begin, begin + member.packed];
}

/** No two members may share bytes, and none may reach into the directory. */
function checkPlaces(data, view, found, limit) {
  let free = 0;
  for (const member of [...found].sort((a, b) => a.offset - b.offset)) {
    if (member.offset < free) throw new ZipError(`'${member.name}' shares bytes with another member`);
    [, free] = extent(data, view, member);
    if (free > limit) throw new ZipError(`'${member.name}' reaches into the directory`);
  }
}

function decode(bytes, utf8) {
  if (!utf8 && bytes.some((byte) => byte > 127)) throw new ZipError("a member's name is no text");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ZipError("a member's name is no text");
  }
}

let table = null;

/** CRC-32 of some bytes, as a number of 0 to 2³² − 1. */
export function crc32(bytes) {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });
  let crc = 0xffffffff;
  for (let n = 0; n < bytes.length; n++) crc = (crc >>> 8) ^ table[(crc ^ bytes[n]) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}
