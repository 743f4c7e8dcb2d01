import { describe, expect, it } from 'vitest';
import type { Delta, IndexTables } from '../../src/engine/messages.js';
import { packDelta, unpackDelta } from '../../src/engine/packing.js';

const index = (workload: string, digest: string, key: string): IndexTables => ({
  workload,
  digest,
  in: [[key], [], [], []],
  out: [[], [], [], [key]],
});

describe('packing', () => {
  it('sends tables that workloads share once, and gives the same delta back', () => {
    const delta: Delta = {
      defaultAction: 'drop',
      setIndexes: [index('a', 'd1', 'x'), index('b', 'd1', 'x'), index('c', 'd2', 'y')],
    };
    const packed = packDelta(delta);
    expect(packed.setIndexes?.map(({ workloads }) => workloads)).toEqual([['a', 'b'], ['c']]);
    expect(unpackDelta(packed)).toEqual(delta);
  });

  it('leaves a delta without tables alone', () => {
    expect(packDelta({ removeRules: ['x'] })).toEqual({ removeRules: ['x'] });
    expect(unpackDelta(packDelta({ setIndexes: [] }))).toEqual({ setIndexes: [] });
  });
});
