import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeMessage, FrameReader } from '../../src/engine/framing.js';

const bodies = (reader: FrameReader, bytes: Buffer): unknown[] =>
  reader.push(bytes).map((body) => JSON.parse(body.toString()) as unknown);

describe('framing', () => {
  it('gives back what was sent, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue(), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (values, cuts) => {
          const stream = Buffer.concat(values.map((value) => encodeMessage(value)));
          const reader = new FrameReader();
          const got: unknown[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = cuts[i % cuts.length] as number;
            got.push(...bodies(reader, stream.subarray(at, at + size)));
            at += size;
          }
          expect(got).toEqual(values.map((value) => JSON.parse(JSON.stringify(value)) as unknown));
          expect(reader.pending).toBe(0);
        },
      ),
    );
  });

  it('keeps a half message until the rest comes', () => {
    const reader = new FrameReader();
    const message = encodeMessage({ id: 1 });
    expect(bodies(reader, message.subarray(0, 2))).toEqual([]);
    expect(bodies(reader, message.subarray(2, 6))).toEqual([]);
    expect(bodies(reader, Buffer.concat([message.subarray(6), message]))).toEqual([{ id: 1 }, { id: 1 }]);
  });

  it('takes a big message byte by byte in little time and memory', () => {
    const message = encodeMessage('x'.repeat(300_000));
    const reader = new FrameReader();
    const before = process.memoryUsage().rss;
    const got: Buffer[] = [];
    for (let i = 0; i < message.length; i++) got.push(...reader.push(message.subarray(i, i + 1)));
    expect(got).toHaveLength(1);
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });

  it.each([0, 101, 0xffffffff])('refuses the length %d before anything is kept for it', (length) => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(length);
    expect(() => new FrameReader(100).push(header)).toThrow(/message length/);
  });

  it('refuses to send what the other end would refuse', () => {
    expect(() => encodeMessage('x'.repeat(200), 100)).toThrow(/exceeds the limit/);
  });

  it('takes random bytes as messages or refuses them, and keeps no more than it was given', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
        const reader = new FrameReader(1000);
        let given = 0;
        try {
          for (const chunk of chunks) {
            given += chunk.length;
            for (const body of reader.push(Buffer.from(chunk))) expect(body.length).toBeLessThanOrEqual(1000);
            expect(reader.pending).toBeLessThanOrEqual(given);
          }
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad-frame' });
        }
      }),
    );
  });
});
