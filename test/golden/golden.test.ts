// Captures and policy in, captures and counters out. Each folder is a case; replay.ts says what is in it, generate.py
// makes the captures. `UPDATE_GOLDEN=1 npx vitest run --dir test/golden` writes what is expected: look at the difference.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readPcap, writePcap, type PcapFrame } from './pcap.js';
import { replay } from './replay.js';

const here = import.meta.dirname;
const cases = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

describe('golden', () => {
  it('has its cases', () => expect(cases.length).toBeGreaterThanOrEqual(10));

  it.each(cases)('%s', async (name) => {
    const { out, counters } = await replay(join(here, name));
    const expected = join(here, name, 'expected');
    if (process.env['UPDATE_GOLDEN']) update(expected, out, counters);
    expect(counters).toEqual(JSON.parse(readFileSync(join(expected, 'counters.json'), 'utf8')));
    expect([...out.keys()].map((port) => `out.${port}.pcap`).sort()).toEqual(
      readdirSync(expected)
        .filter((file) => file.endsWith('.pcap'))
        .sort(),
    );
    for (const [port, frames] of out)
      expect(lines(frames), port).toEqual(lines(readPcap(join(expected, `out.${port}.pcap`))));
  });
});

// As text, so that a difference can be read.
function lines(frames: readonly PcapFrame[]): string[] {
  return frames.map(({ time, bytes }) => `${time} ${bytes.toString('hex')}`);
}

function update(expected: string, out: Map<string, PcapFrame[]>, counters: object): void {
  rmSync(expected, { recursive: true, force: true });
  mkdirSync(expected);
  for (const [port, frames] of out) writePcap(join(expected, `out.${port}.pcap`), frames);
  writeFileSync(join(expected, 'counters.json'), `${JSON.stringify(counters, null, 2)}\n`);
}
