// Shared rules on real frames: 100 workloads whose index tables refer to a few hundred rules, each held once, judge
// every flow as 100 private copies do that are walked rule by rule.
//
//     100 namespaces ---TAP--- the engine, in this process
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import { draftsOf, generateDatacenter, type Draft } from '../../src/lab/generate/datacenter.js';
import { Random } from '../../src/lab/generate/random.js';
import { documentsOf } from '../../src/lab/generate/write.js';
import { waitUntil } from '../../src/lab/namespaces.js';
import { entriesOf, rulesOf } from '../../src/policy/index.js';
import { DatacenterBed, slotsOf } from './datacenter-bed.js';

const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
const again = `repeat with HEADGATE_SEED=${seed} scripts/sandbox npx vitest run test/netns/shared-rules.test.ts`;
const random = new Random(seed);
const FLOWS = 500;
const SPARE_SLOTS = 20;

/** Ports of rules that all 100 workloads share, beside the generated ones. */
const [FLIPPED, SWAPPED, HELD] = [7001, 7002, 7003];

const generated = draftsOf(generateDatacenter({ rules: 400, workloads: 100 }, random)).map((draft) =>
  draft.kind === 'Host'
    ? { ...draft, spec: { ...draft.spec, default: 'allow', timeouts: { denied: 600 } } }
    : draft,
);

const udp = (port: number) => [{ protocol: 'udp', ports: [port] }];
const policy = (name: string, rules: object[]): Draft => ({
  kind: 'SecurityPolicy',
  name,
  spec: { category: 'emergency', priority: 0, rules },
});

/** The generated documents and the shared rules as they are now. */
function documents(
  now: { flipped?: string; out?: string; in?: string; held?: string; onChange?: string } = {},
  ...more: Draft[]
): Document[] {
  const shared = policy('a-shared', [
    { name: 'flipped', services: udp(FLIPPED), action: now.flipped ?? 'allow' },
    { name: 'out', direction: 'out', services: udp(SWAPPED), action: now.out ?? 'allow' },
    { name: 'in', direction: 'in', services: udp(SWAPPED), action: now.in ?? 'allow' },
    {
      name: 'held',
      services: [{ protocol: 'tcp', ports: [HELD] }],
      action: now.held ?? 'allow',
      onChange: now.onChange ?? 'reevaluate',
    },
  ]);
  return documentsOf([...generated, shared, ...more]);
}

let bed: DatacenterBed;

beforeAll(async () => {
  console.log(again);
  bed = await DatacenterBed.start(documents(), (await slotsOf(documents())) + SPARE_SLOTS);
});
afterAll(() => bed?.stop());

test('100 workloads judge as 100 private copies do', async () => {
  const { desired } = bed.deltaTo(documents());
  const held = bed.engine.inventory();
  const copies = [...entriesOf(desired).values()]
    .map(({ scope }) => desired.scopes.get(scope)?.workloads.size ?? 0)
    .reduce((sum, one) => sum + one, 0);
  console.log(`${held.rules.length} rules, in ${bed.places.length} index tables with ${copies} references`);
  expect(held.rules.length).toBe(rulesOf(desired).size);
  expect(copies).toBeGreaterThan(3 * held.rules.length);

  const attempts = bed.draw(documents(), FLOWS, random);
  const verdicts = bed.verdicts(documents(), attempts);
  const count = (wanted: string) => verdicts.filter((some) => some.at(-1)?.action === wanted).length;
  console.log(
    `${FLOWS} flows: ${count('allow')} allowed, ${count('drop')} dropped, ${count('reject')} rejected`,
  );
  expect(Math.min(count('allow'), count('drop'))).toBeGreaterThan(FLOWS / 50);
  expect(count('reject')).toBeGreaterThan(0);
  expect(new Set(verdicts.flat().map(({ rule }) => rule)).size).toBeGreaterThan(20);
  expect(await bed.differences(attempts, verdicts), again).toEqual([]);
});

test('control: one shared rule that says something else shows at every flow that it decides', async () => {
  const { desired } = bed.deltaTo(documents());
  const keys = new Map([...entriesOf(desired).values()].map(({ id, rule }) => [id, rule]));
  const attempts = bed.draw(documents(), FLOWS, random);
  const verdicts = bed.verdicts(documents(), attempts);
  const deciding = verdicts.map((some) => some.map(({ rule }) => rule && keys.get(rule)));
  const uses = new Map<string, number>();
  for (const key of deciding.flat()) if (key !== undefined) uses.set(key, (uses.get(key) ?? 0) + 1);
  const [key = ''] = [...uses].sort(([, a], [, b]) => b - a)[0] ?? [];
  const right = rulesOf(desired).get(key);
  if (right === undefined) throw new Error('no rule decides anything');
  await bed.engine.publish({ setRules: [{ ...right, action: right.action === 'allow' ? 'drop' : 'allow' }] });
  const wrong = await bed.differences(attempts, verdicts);
  await bed.engine.publish({ setRules: [right] });
  expect(wrong.length, again).toBe(deciding.filter((some) => some.includes(key)).length);
});

test('control: one list of all rules for everybody is found out', async () => {
  const attempts = bed.draw(documents(), FLOWS, random);
  const workloads = bed.places.map(({ name }) => name);
  const scopes = Object.keys(bed.engine.inventory().scopes);
  await bed.engine.publish({ setScopes: scopes.map((name) => ({ name, digest: 'all', workloads })) });
  const wrong = await bed.differences(attempts, bed.verdicts(documents(), attempts));
  await bed.publish(documents());
  console.log(`one list for everybody: ${wrong.length} of ${FLOWS} flows differ`);
  expect(wrong.length, again).toBeGreaterThan(FLOWS / 50);
  expect(await differencesOfFew(), again).toEqual([]);
});

function differencesOfFew(): Promise<string[]> {
  const attempts = bed.draw(documents(), FLOWS / 4, random);
  return bed.differences(attempts, bed.verdicts(documents(), attempts));
}

/** Waits until each flow of the stream has sent `more` datagrams, and those before them have come if they ever do. */
async function sendMore(more: number) {
  const before = await bed.traffic.counts();
  await waitUntil('the stream goes on', async () =>
    (await bed.traffic.counts()).every(({ sent }, i) => sent >= (before[i]?.sent ?? 0) + more),
  );
  return bed.traffic.counts();
}

test('an edit of a shared rule under load is in force for everybody at once', async () => {
  const ring = bed.ring(17, FLIPPED);
  expect(ring.length).toBe(bed.places.length);
  await bed.traffic.stream(ring, 0.03);
  try {
    await allArrive();
    for (let round = 0; round < 5; round++) {
      await bed.publish(documents({ flipped: 'drop' }));
      const dropsBefore = dropsBySender();
      const then = await sendMore(5);
      const later = await sendMore(10);
      expect(later.map(({ received }) => received)).toEqual(then.map(({ received }) => received));
      const drops = dropsBySender();
      for (const { name } of bed.places)
        expect(drops.get(name) ?? 0, name).toBeGreaterThan(dropsBefore.get(name) ?? 0);
      await bed.publish(documents());
      const open = await sendMore(10);
      open.forEach(({ highest }, i) => expect(highest).toBeGreaterThan(later[i]?.sent ?? 0));
    }
  } finally {
    await bed.traffic.hush();
  }
});

/** Waits until each flow of the stream gets through. */
const allArrive = () =>
  waitUntil('every flow arrives', async () =>
    (await bed.traffic.counts()).every(({ received }) => received > 0),
  );

const dropsBySender = () =>
  new Map(bed.engine.stats().workloads.map(({ workload, drops }) => [workload, drops['policy-drop'] ?? 0]));

test('no frame is judged by the old rule at one end and the new one at the other', async () => {
  // Either way one end denies: only a mixture would let a frame through.
  const ways = [documents({ out: 'drop', in: 'allow' }), documents({ out: 'allow', in: 'drop' })] as const;
  await bed.traffic.stream(bed.ring(17, SWAPPED), 0.01);
  try {
    await allArrive();
    await bed.publish(ways[0]);
    const before = await sendMore(5);
    for (let edit = 0; edit < 100; edit++) await bed.publish(ways[(edit + 1) % 2] ?? ways[0]);
    const after = await sendMore(5);
    expect(after.map(({ received }) => received)).toEqual(before.map(({ received }) => received));
  } finally {
    await bed.traffic.hush();
  }
  await bed.publish(documents());
});

test('connections that the new policy denies end, at every workload', async () => {
  const all = (outcome: string) => bed.places.map(() => outcome);
  for (const [onChange, ends, port] of [
    ['reevaluate', '', 1],
    ['reset', 'reset', 2],
  ] as const) {
    await bed.publish(documents({ onChange }));
    await bed.traffic.hold(bed.ring(6, HELD, HELD + port));
    expect(await bed.traffic.use(10)).toEqual(all('reached'));
    await bed.publish(documents({ held: 'drop', onChange }));
    expect(await bed.traffic.use(ends === '' ? 1 : 10), onChange).toEqual(all(ends));
    await bed.traffic.release();
  }
  await bed.publish(documents());
});

test('a change that does not fit is refused whole, and the old policy stays in force', async () => {
  const before = bed.engine.inventory();
  const more = Array.from({ length: SPARE_SLOTS + 1 }, (_, i) => ({
    name: `more-${i}`,
    services: udp(20_000 + i),
    action: 'drop',
  }));
  const tooMany = documents({ flipped: 'drop' }, policy('b-more', more));
  await bed.traffic.stream(bed.ring(17, FLIPPED), 0.03);
  try {
    await allArrive();
    const refused = bed.publish(tooMany);
    await expect(refused).rejects.toMatchObject({ code: 'table-full' });
    await expect(refused).rejects.toThrow(
      /1 have to go.*Remove rules, or raise spec.rules in the host file/s,
    );
    expect(bed.engine.inventory()).toEqual(before);
    const then = await bed.traffic.counts();
    (await sendMore(10)).forEach(({ highest }, i) => expect(highest).toBeGreaterThan(then[i]?.sent ?? 0));
  } finally {
    await bed.traffic.hush();
  }
  expect(await differencesOfFew(), again).toEqual([]);
  // With one rule less it fits.
  await bed.publish(documents({ flipped: 'drop' }, policy('b-more', more.slice(1))));
  await bed.publish(documents());
});
