// Classic pcap files with microseconds (0xa1b2c3d4, little-endian, Ethernet), as the generator and tcpdump write them.
import { readFileSync, writeFileSync } from 'node:fs';

export interface PcapFrame {
  /** Microseconds since the capture's time zero. */
  time: number;
  bytes: Buffer;
}

const MAGIC = 0xa1b2c3d4;

export function readPcap(path: string): PcapFrame[] {
  const file = readFileSync(path);
  if (file.length < 24 || file.readUInt32LE(0) !== MAGIC)
    throw new Error(`${path} is no pcap file with microseconds`);
  const frames: PcapFrame[] = [];
  for (let at = 24; at < file.length;) {
    const length = file.readUInt32LE(at + 8);
    if (length !== file.readUInt32LE(at + 12))
      throw new Error(`${path}: the frame at byte ${at} was cut off`);
    const time = file.readUInt32LE(at) * 1_000_000 + file.readUInt32LE(at + 4);
    frames.push({ time, bytes: file.subarray(at + 16, at + 16 + length) });
    at += 16 + length;
  }
  return frames;
}

export function writePcap(path: string, frames: readonly PcapFrame[]): void {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20);
  const records = frames.flatMap(({ time, bytes }) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(Math.floor(time / 1_000_000), 0);
    record.writeUInt32LE(time % 1_000_000, 4);
    record.writeUInt32LE(bytes.length, 8);
    record.writeUInt32LE(bytes.length, 12);
    return [record, bytes];
  });
  writeFileSync(path, Buffer.concat([header, ...records]));
}
