// Writes frames as pcapng (draft-ietf-opsawg-pcapng), block by block, so that a pipe can be read while it is written: a
// section header, a description of each interface before its first frame, and each frame with a comment.
export interface CommentedFrame {
  /** A name for the interface, and what it is. */
  interface: string;
  description: string;
  /** Milliseconds since the epoch. */
  time: number;
  /** As much of it as was kept. */
  bytes: Buffer;
  /** Of the whole frame. */
  length: number;
  comment: string;
}

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const ETHERNET = 1;

const OPTION = {
  comment: 1,
  sectionApplication: 4,
  interfaceName: 2,
  interfaceDescription: 3,
  timeResolution: 9,
};
const NANOSECONDS = 9;

export class PcapngWriter {
  readonly #write: (block: Buffer) => void;
  readonly #interfaces = new Map<string, number>();

  /** Writes the section header. */
  constructor(write: (block: Buffer) => void, application: string) {
    this.#write = write;
    const head = Buffer.alloc(16);
    head.writeUInt32LE(0x1a2b3c4d, 0);
    head.writeUInt16LE(1, 4); // version 1.0
    head.writeBigInt64LE(-1n, 8); // how long the section is, is not known
    write(block(SECTION, head, options([[OPTION.sectionApplication, Buffer.from(application)]])));
  }

  frame({ interface: name, description, time, bytes, length, comment }: CommentedFrame): void {
    const nanoseconds = BigInt(Math.round(time * 1000)) * 1000n;
    const head = Buffer.alloc(20);
    head.writeUInt32LE(this.#interfaceOf(name, description), 0);
    head.writeUInt32LE(Number(nanoseconds >> 32n), 4);
    head.writeUInt32LE(Number(nanoseconds & 0xffffffffn), 8);
    head.writeUInt32LE(bytes.length, 12);
    head.writeUInt32LE(length, 16);
    this.#write(
      block(ENHANCED_PACKET, head, padded(bytes), options([[OPTION.comment, Buffer.from(comment)]])),
    );
  }

  #interfaceOf(name: string, description: string): number {
    const known = this.#interfaces.get(name);
    if (known !== undefined) return known;
    const head = Buffer.alloc(8); // no limit of bytes
    head.writeUInt16LE(ETHERNET, 0);
    const described = options([
      [OPTION.interfaceName, Buffer.from(name)],
      [OPTION.interfaceDescription, Buffer.from(description)],
      [OPTION.timeResolution, Buffer.from([NANOSECONDS])],
    ]);
    this.#write(block(INTERFACE, head, described));
    this.#interfaces.set(name, this.#interfaces.size);
    return this.#interfaces.size - 1;
  }
}

/** A block says its length at both ends. */
function block(type: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length + 12;
  const frame = Buffer.alloc(12);
  frame.writeUInt32LE(type, 0);
  frame.writeUInt32LE(length, 4);
  frame.writeUInt32LE(length, 8);
  return Buffer.concat([frame.subarray(0, 8), body, frame.subarray(8)]);
}

const MOST_OPTION = 65_535;

function options(list: [code: number, value: Buffer][]): Buffer {
  const parts = list.flatMap(([code, value]) => {
    const kept = value.subarray(0, MOST_OPTION);
    const head = Buffer.alloc(4);
    head.writeUInt16LE(code, 0);
    head.writeUInt16LE(kept.length, 2);
    return [head, padded(kept)];
  });
  return Buffer.concat([...parts, Buffer.alloc(4)]); // the end of the options
}

/** Up to the next word. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
