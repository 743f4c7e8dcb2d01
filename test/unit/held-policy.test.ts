// The engine that follows gets every kind of thing that a delta can set: what the packet path does not give back, as
// control sent it.
import { expect, test } from 'vitest';
import { HeldPolicy } from '../../src/engine/held-policy.js';
import { deltaSchema, type Delta } from '../../src/engine/messages.js';

/** Those that the packet path gives back itself (tables/publisher_policy.cc). */
const NATIVE = ['setAddressSets', 'setRules', 'setScopes', 'setEntries'];

test('a kind of thing is either kept here or given back by the packet path', () => {
  const kinds = Object.keys(deltaSchema.shape).filter((key) => key.startsWith('set'));
  const kept = Object.keys(new HeldPolicy().all());
  expect([...kept, ...NATIVE].toSorted()).toEqual(kinds.toSorted());
});

test('what was set last counts, and what was removed does not', () => {
  const held = new HeldPolicy();
  const segment = (name: string, digest: string, vlan: number) => ({ name, digest, vlan, tracker: name });
  held.apply({ setSegments: [segment('a', '1', 1), segment('b', '1', 2)] });
  held.apply({ setSegments: [segment('a', '2', 7)], removeSegments: ['b'] });
  held.apply({ setWorkloads: [{ name: 'w', digest: '1', segment: 'a' }] } as Delta);
  expect(held.all()).toEqual({
    setSegments: [segment('a', '2', 7)],
    setWorkloads: [{ name: 'w', digest: '1', segment: 'a' }],
    setPortals: [],
    setTags: [],
  });
});
