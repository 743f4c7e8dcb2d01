// A disk that takes part of a line and then fails altogether: losses are counted, and control lives on.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { JsonLines } from '../../src/flow-log/json-lines.js';
import { Outcome } from '../../src/flow-log/outcome.js';
import { toRecord } from '../../src/flow-log/record.js';
import { flowRecord } from '../support/flow-records.js';
import { until } from '../support/until.js';

const cuts = vi.hoisted(() => ({ count: 0 }));

vi.mock('node:fs', async (original) => ({
  ...(await original<object>()),
  ftruncate: (_fd: number, _length: number, done: (error: Error) => void) => {
    cuts.count += 1;
    done(new Error('EIO: i/o error'));
  },
}));

test('part of a line that cannot be taken off again', async () => {
  const disk = mkdtempSync(join(tmpdir(), 'headgate-flow-log-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'none', disk]);
  const counts = { records: 0, lost: 0 };
  const lines = new JsonLines(
    join(disk, 'flows'),
    new Outcome('test', counts, { warn: () => undefined } as never),
  );
  try {
    lines.write(Array.from({ length: 100 }, () => toRecord(flowRecord())));
    await until('all are counted', () => counts.records + counts.lost === 100);
    expect(cuts.count).toBe(1);
    expect(counts.lost).toBeGreaterThan(0);
    lines.write([toRecord(flowRecord())]);
    await until('the next is counted', () => counts.records + counts.lost === 101);
  } finally {
    await lines.close();
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  }
});
