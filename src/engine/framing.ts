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
  #chunks: Buffer[] = [];
  #bytes = 0;
  #expected: number | undefined;

  constructor(limit = MAX_MESSAGE_BYTES) {
    this.#limit = limit;
  }

  /** Bytes that wait for the rest of their message. */
  get pending(): number {
    return this.#bytes;
  }

  /** Throws `bad-frame` on an impossible length; the stream cannot be used after that. */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const messages: Buffer[] = [];
    for (;;) {
      this.#expected ??= this.#readLength();
      if (this.#expected === undefined || this.#bytes < this.#expected) return messages;
      messages.push(this.#take(this.#expected));
      this.#expected = undefined;
    }
  }

  #readLength(): number | undefined {
    if (this.#bytes < HEADER_BYTES) return undefined;
    const length = this.#take(HEADER_BYTES).readUInt32BE();
    if (length === 0 || length > this.#limit) {
      throw new HeadgateError(
        'bad-frame',
        `A message length of ${length} is not between 1 and ${this.#limit}.`,
      );
    }
    return length;
  }

  #take(count: number): Buffer {
    const parts: Buffer[] = [];
    let missing = count;
    let used = 0;
    while (missing > 0) {
      const head = this.#chunks[used] as Buffer;
      if (head.length > missing) {
        parts.push(head.subarray(0, missing));
        this.#chunks[used] = head.subarray(missing);
        missing = 0;
      } else {
        parts.push(head);
        missing -= head.length;
        used += 1;
      }
    }
    this.#chunks.splice(0, used);
    this.#bytes -= count;
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, count);
  }
}
