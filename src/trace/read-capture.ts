// Reads frames out of a pcap file (both byte orders, micro- and nanoseconds) or a pcapng file (draft-ietf-opsawg-pcap,
// draft-ietf-opsawg-pcapng). Ethernet only. Every length is checked against the file before it is used.
import { HeadgateError } from '../shared/errors.js';

export interface CapturedFrame {
  bytes: Buffer;
  /** The capture kept less than there was. */
  cut: boolean;
}

const ETHERNET = 1;
const LINK_TYPES: Record<number, string> = {
  0: 'loopback',
  12: 'raw IP',
  101: 'raw IP',
  105: 'Wi-Fi',
  113: 'Linux cooked (of -i any)',
  276: 'Linux cooked (of -i any)',
};

/** Throws `capture` where the file is none, is damaged, or has another link type. Frames before a fault are given. */
export function* readCapture(file: Buffer): Generator<CapturedFrame> {
  const magic = file.length >= 4 ? file.readUInt32BE(0) : 0;
  if (magic === SECTION) yield* readPcapng(file);
  else if (MAGICS.has(magic)) yield* readPcap(file, MAGICS.get(magic) === 'little');
  else throw fault('it does not begin as a pcap or pcapng file does', 'Write it with: tcpdump -w FILE');
}

const MAGICS = new Map([
  [0xa1b2c3d4, 'big'],
  [0xa1b23c4d, 'big'], // nanoseconds
  [0xd4c3b2a1, 'little'],
  [0x4d3cb2a1, 'little'],
]);

function* readPcap(file: Buffer, little: boolean): Generator<CapturedFrame> {
  const word = (at: number) => (little ? file.readUInt32LE(at) : file.readUInt32BE(at));
  if (file.length < 24) throw cutOff(0);
  checkLinkType(word(20) & 0xffff);
  for (let at = 24; at < file.length;) {
    if (file.length - at < 16) throw cutOff(at);
    const [kept, length] = [word(at + 8), word(at + 12)];
    if (kept > file.length - at - 16) throw cutOff(at);
    yield { bytes: file.subarray(at + 16, at + 16 + kept), cut: kept < length };
    at += 16 + kept;
  }
}

const SECTION = 0x0a0d0d0a;
const BYTE_ORDER = 0x1a2b3c4d;
const INTERFACE = 1;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

function* readPcapng(file: Buffer): Generator<CapturedFrame> {
  let little = true;
  let linkTypes: number[] = [];
  for (let at = 0; at < file.length;) {
    if (file.length - at < 12) throw cutOff(at);
    if (file.readUInt32BE(at) === SECTION) {
      little = file.readUInt32LE(at + 8) === BYTE_ORDER;
      if (!little && file.readUInt32BE(at + 8) !== BYTE_ORDER)
        throw fault(`the section at byte ${at} is damaged`);
      linkTypes = [];
    }
    const word = (place: number) => (little ? file.readUInt32LE(place) : file.readUInt32BE(place));
    const length = word(at + 4);
    if (length < 12 || length % 4 !== 0 || length > file.length - at) throw cutOff(at);
    const type = word(at);
    const body = { at: at + 8, length: length - 12 };
    if (type === INTERFACE && body.length >= 8)
      linkTypes.push(little ? file.readUInt16LE(body.at) : file.readUInt16BE(body.at));
    else if (type === ENHANCED_PACKET && body.length >= 20) {
      checkLinkType(linkTypes[word(body.at)]);
      yield frameOf(file, body.at + 20, word(body.at + 12), word(body.at + 16), body.length - 20);
    } else if (type === SIMPLE_PACKET && body.length >= 4) {
      checkLinkType(linkTypes[0]);
      const original = word(body.at);
      yield frameOf(file, body.at + 4, Math.min(original, body.length - 4), original, body.length - 4);
    }
    at += length;
  }
}

function frameOf(file: Buffer, at: number, kept: number, original: number, room: number): CapturedFrame {
  if (kept > room) throw cutOff(at);
  return { bytes: file.subarray(at, at + kept), cut: kept < original };
}

function checkLinkType(type: number | undefined): void {
  if (type === ETHERNET) return;
  if (type === undefined) throw fault('a packet names an interface that the file does not describe');
  const name = LINK_TYPES[type];
  throw fault(
    `its link type is ${type}${name === undefined ? '' : `, ${name}`}, not Ethernet (1)`,
    'Capture on the one interface of the workload: tcpdump -i INTERFACE -w FILE',
  );
}

function cutOff(at: number): HeadgateError {
  return fault(`it is damaged or cut off at byte ${at}`);
}

function fault(what: string, remedy?: string): HeadgateError {
  return new HeadgateError(
    'capture',
    `The capture cannot be read: ${what}.`,
    remedy === undefined ? {} : { remedy },
  );
}
