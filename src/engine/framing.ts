// Cuts the byte stream of the engine's socket into messages, and makes messages of values.
//
// A message is a 4-byte big-endian length and that many bytes of UTF-8 JSON. The length is checked before
// anything is kept for it: a peer that announces too much is an error at once, and one that announces much and
// sends little costs only what it sent.
import { HeadgateError } from '../shared/errors.js';
import { MAX_MESSAGE_BYTES } from './messages.js';

const HEADER_BYTES = 4;

/** One message, ready to be written. Throws `message-too-big` when it exceeds the limit. */
export function encodeMessage(value: unknown, limit = MAX_MESSAGE_BYTES): Buffer {
  const body = Buffer.from(toJson(value), 'utf8');
  if (body.length > limit) {
    throw new HeadgateError(
      'message-too-big',
      `A message of ${body.length} bytes exceeds the limit of ${limit}.`,
    );
  }
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(body.length);
  return Buffer.concat([header, body]);
}

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    // Longer than any string may be.
    throw new HeadgateError(
      'message-too-big',
      `A message is too big to be written as JSON: ${String(cause)}`,
      { cause },
    );
  }
}

/** Collects chunks in the order of their arrival and gives back whole message bodies. */
export class FrameReader {
  readonly #limit: number;
  /** What has not been given back yet is its first `#length` bytes; it grows by doubling with what really came. */
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(limit = MAX_MESSAGE_BYTES) {
    this.#limit = limit;
  }

  /** Bytes that wait for the rest of their message. */
  get pending(): number {
    return this.#length;
  }

  /** Throws `bad-frame` on an impossible length; the stream cannot be used after that. */
  push(chunk: Buffer): Buffer[] {
    this.#append(chunk);
    const messages: Buffer[] = [];
    let at = 0;
    while (this.#length - at >= HEADER_BYTES) {
      const size = this.#checked(this.#buffer.readUInt32BE(at));
      const end = at + HEADER_BYTES + size;
      if (end > this.#length) break;
      messages.push(this.#buffer.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    this.#drop(at);
    return messages;
  }

  #checked(size: number): number {
    if (size > 0 && size <= this.#limit) return size;
    throw new HeadgateError('bad-frame', `A message length of ${size} is not between 1 and ${this.#limit}.`);
  }

  #append(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = needed;
  }

  #drop(count: number): void {
    if (count === 0) return;
    // A big message leaves no big buffer behind, and the messages given back are never written over.
    this.#buffer = Buffer.from(this.#buffer.subarray(count, this.#length));
    this.#length -= count;
  }
}
