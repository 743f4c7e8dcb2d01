// Rules without hits: what counts as a hit, and what is said of how long hits are counted.
import { expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import type { Control } from '../../src/control/control.js';
import { unusedRules } from '../../src/control/unused.js';
import type { Stats } from '../../src/engine/messages.js';
import { compile } from '../../src/policy/index.js';
import { make, workload } from './document-helpers.js';

const DAY = 86_400;
const rule = (name: string) => ({ name, action: 'allow' });
const policy = (...names: string[]) => make('SecurityPolicy', 'p', { rules: names.map(rule) });
const hit = (name: string | undefined, idle: number): Stats['hits'][number] => ({
  ...(name !== undefined && { rule: `p/${name}` }),
  workload: 'w',
  direction: 'in',
  flows: 1,
  packets: 1,
  bytes: 1,
  idle,
});

/** Control as it answers after some days of running; revisions by the days that have gone by since. */
function control(
  uptimeDays: number,
  hits: Stats['hits'],
  revisions: [days: number, document: Document][],
): Control {
  const documents = [make('Segment', 'lan', {}), workload('w', ['10.0.0.1/24']), policy('a', 'b', 'c')];
  const answers: Record<string, unknown> = { hello: { uptime: uptimeDays * DAY }, stats: { hits } };
  const fake = {
    documents,
    lowered: compile(documents),
    ask: (type: string) => Promise.resolve(answers[type]),
    revisions: () =>
      Promise.resolve(
        revisions.map(([days], i) => ({
          number: revisions.length - i,
          time: new Date(Date.now() - days * DAY * 1000).toISOString(),
        })),
      ),
    revision: (number: number) => Promise.resolve({ documents: [revisions[revisions.length - number]?.[1]] }),
  };
  return fake as unknown as Control;
}

const always: [number, Document][] = [[100, policy('a', 'b', 'c')]];
const told = async (asked: Control, days = 30) => {
  const { counted, rules } = await unusedRules(asked, days * DAY);
  return [counted / DAY, ...rules.map(({ id, lastHit, isNew }) => [id, lastHit, isNew])];
};

test('a rule is unused when all its hits are old, or there are none', async () => {
  const hits = [
    hit('a', 29 * DAY),
    hit('a', 50 * DAY),
    hit('b', 30 * DAY),
    hit('b', 40 * DAY),
    hit(undefined, 1),
  ];
  expect(await told(control(60, hits, always))).toEqual([
    30,
    ['p/b', 30 * DAY, false],
    ['p/c', undefined, false],
  ]);
});

test('when the engine started later, hits were counted for less', async () => {
  expect(await told(control(2, [hit('a', 1), hit('b', DAY)], always))).toEqual([
    2,
    ['p/c', undefined, false],
  ]);
});

test('rules that came later, or came back, are new', async () => {
  const revisions: [number, Document][] = [
    [1, policy('a', 'b', 'c')],
    [10, policy('a', 'b')],
    [31, policy('a', 'c')],
  ];
  expect(await told(control(60, [], revisions))).toEqual([
    30,
    ['p/a', undefined, false],
    ['p/b', undefined, true],
    ['p/c', undefined, true],
  ]);
  // As far as the store reaches.
  expect(await told(control(60, [], revisions.slice(0, 2)))).toEqual([
    30,
    ...['a', 'b', 'c'].map((name) => [`p/${name}`, undefined, true]),
  ]);
});
