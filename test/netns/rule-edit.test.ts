// What an edit of a rule does to connections that are open: the rule's onChange says.
//
//     a (10.77.0.1) ---TAP--- Headgate ---TAP--- b (10.77.0.2, listens on TCP 80)
//
// Each test opens a connection under an allowing rule, turns the rule into a drop, and uses the connection again.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Bed } from './bed.js';

let bed: Bed;

const rule = (action: string, onChange: string) => [
  { name: 'web', services: [{ protocol: 'tcp', ports: [80] }], action, onChange },
];

beforeAll(async () => {
  bed = await Bed.start({ workloads: ['a', 'b'], rules: rule('allow', 'reevaluate') });
  await bed.agent('b').listen({ tcp: [80] });
}, 60_000);
afterAll(() => bed?.stop());

let name = '';
async function open(onChange: string): Promise<void> {
  await bed.applyRules(rule('allow', onChange));
  name = `${onChange}-${Math.random()}`;
  expect(await bed.agent('a').hold(name, bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('a').use(name)).toMatchObject({ outcome: 'reached' });
}
beforeEach(() => (name = ''));

test('reevaluate: the open connection is judged by the new rule', async () => {
  await open('reevaluate');
  await bed.applyRules(rule('drop', 'reevaluate'));
  expect(await bed.agent('a').use(name, 1500)).toMatchObject({ outcome: 'silent' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'silent' });
});

test('reevaluate: it goes on when the rule allows again', async () => {
  await open('reevaluate');
  await bed.applyRules(rule('drop', 'reevaluate'));
  expect(await bed.agent('a').use(name, 1000)).toMatchObject({ outcome: 'silent' });
  await bed.applyRules(rule('allow', 'reevaluate'));
  expect(await bed.agent('a').use(name, 10_000)).toMatchObject({ outcome: 'reached' });
});

test('keep: the open connection stays, a new one is denied', async () => {
  await open('keep');
  await bed.applyRules(rule('drop', 'keep'));
  expect(await bed.agent('a').use(name)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'silent' });
});

test('reset: the open connection is ended, both sides are told', async () => {
  await open('reset');
  await bed.applyRules(rule('drop', 'reset'));
  expect(await bed.agent('a').use(name)).toMatchObject({ outcome: 'refused' });
  expect(await bed.drops('connection-reset')).toBeGreaterThan(0);
});

test('an edit of another rule leaves the connection alone', async () => {
  await open('reset');
  const other = { name: 'other', services: [{ protocol: 'tcp', ports: [81] }], action: 'drop' };
  await bed.applyRules([...rule('allow', 'reset'), other]);
  expect(await bed.agent('a').use(name)).toMatchObject({ outcome: 'reached' });
});
