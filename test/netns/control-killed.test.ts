// Control dies by SIGKILL under traffic: no frame is lost, open connections live on, control comes back by itself
// and finds its engine as it was.
//
//     a (10.77.0.1) ---TAP--- engine ---TAP--- b (10.77.0.2, TCP 80, UDP 53)
//                               |
//                            control  <- SIGKILL
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: [
      {
        name: 'some',
        services: [
          { protocol: 'udp', ports: [53] },
          { protocol: 'tcp', ports: [80] },
        ],
        action: 'allow',
      },
    ],
  });
  await bed.agent('b').listen({ tcp: [80, 81], udp: [53] });
}, 60_000);
afterAll(() => bed?.stop());

test('control is killed three times under traffic', async () => {
  const [a, b] = [bed.agent('a'), bed.agent('b')];
  expect(await a.hold('open', bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  const before = await bed.status();
  const { generation } = await bed.stats();
  const count = 2500;
  const traffic = a.sequence(bed.ipv4('b'), 53, count, 2);

  let control = before.pid;
  for (let round = 0; round < 3; round++) {
    process.kill(control, 'SIGKILL');
    const next = await waitUntil('control is back and has its engine', async () => {
      const status = await bed.status();
      return status.pid !== control && status.ready && status;
    });
    expect(next.engine?.pid).toBe(before.engine?.pid);
    expect((await bed.stats()).generation).toBe(generation);
    control = next.pid;
  }

  expect(await traffic).toEqual({ received: count, repeated: 0 });
  expect(await b.counted(53)).toEqual({ received: count, repeated: 0 });
  expect(await a.use('open')).toMatchObject({ outcome: 'reached' });
  expect(await a.tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await a.tcp(bed.ipv4('b'), 81)).toMatchObject({ outcome: 'silent' });
}, 60_000);

test('without control the policy is still enforced, and control can change it again afterwards', async () => {
  const { pid } = await bed.status();
  process.kill(pid, 'SIGKILL');
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 81)).toMatchObject({ outcome: 'silent' });
  await waitUntil('control is back', async () => (await bed.status()).ready);
  await bed.applyRules([{ name: 'other', services: [{ protocol: 'tcp', ports: [81] }], action: 'allow' }]);
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 81)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('a').tcp(bed.ipv4('b'), 80)).toMatchObject({ outcome: 'silent' });
}, 60_000);
