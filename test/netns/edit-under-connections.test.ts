// An edit of a rule under 100,000 live connections: those that it denies end at their next frame, the others lose none.
//
//     a (10.77.0.1) ---TAP--- Headgate ---TAP--- b (10.77.0.2)      60,000 flows of UDP to port 20000, 40,000 to 20001
import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execIn, ip, spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import { Bed } from './bed.js';

const FLOWS = resolve(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release/standing_flows');
const ALL = 100_000;
const DENIED = 60_000;

let bed: Bed;
const rules = (action: string) => [
  { name: 'first', services: [{ protocol: 'udp', ports: [20000] }], action },
  { name: 'second', services: [{ protocol: 'udp', ports: [20001] }], action: 'allow' },
];

beforeAll(async () => {
  const most = ALL + 10_000;
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: rules('allow'),
    host: {
      connections: most,
      limits: { connections: most, halfOpen: most, newPerSecond: 10_000_000 },
      timeouts: { udpOneWay: 3600, denied: 3600 },
    },
  });
  spawnIn(bed.netns('b'), [FLOWS, 'sink', '--port', '20000']);
  // The kernel of a is to lose none, however long the engine is kept from reading: its TAP holds all of them, and the
  // neighbour's address stands before the first.
  const [a, b] = [bed.netns('a'), bed.netns('b')];
  const [link] = JSON.parse(ip('-n', b, '-j', 'link', 'show', 'eth0')) as [{ address: string }];
  ip('-n', a, 'link', 'set', 'eth0', 'txqueuelen', String(ALL));
  ip('-n', a, 'neigh', 'replace', bed.ipv4('b'), 'lladdr', link.address, 'dev', 'eth0');
}, 60_000);
afterAll(() => bed?.stop());

/** One datagram in each flow: once all have come to the engine, so many have come to b. */
async function sendOnce(expected: number): Promise<void> {
  const before = await arrived();
  const from = await counted();
  await execIn(bed.netns('a'), [
    FLOWS,
    'send',
    '--to',
    bed.ipv4('b'),
    '--port',
    '20000',
    '--count',
    String(ALL),
  ]);
  await waitUntil('all came through the engine', async () => (await counted()) - from >= ALL);
  await waitUntil('they arrive', async () => (await arrived()) - before >= expected);
  expect((await arrived()) - before).toBe(expected);
}

/** IPv4 packets that b has got. */
async function arrived(): Promise<number> {
  const table = await execIn(bed.netns('b'), ['cat', '/proc/net/snmp']);
  const [names = '', values = ''] = table.split('\n').filter((line) => line.startsWith('Ip:'));
  return Number(values.split(' ')[names.split(' ').indexOf('InReceives')]);
}

/** Datagrams that the engine has let through or dropped. */
async function counted(): Promise<number> {
  const { hits } = await bed.stats();
  const at = hits.filter(({ rule, workload }) => rule.startsWith('test/') && workload === 'a');
  return at.reduce((sum, { packets }) => sum + packets, 0);
}

test('a rule that denies 60,000 of 100,000 connections, and allows them again', async () => {
  await sendOnce(ALL);
  expect((await bed.stats()).connections).toBeGreaterThanOrEqual(ALL);
  const began = performance.now();
  await bed.applyRules(rules('drop'));
  const took = performance.now() - began;
  console.log(`applied under ${ALL} connections in ${took.toFixed(0)} ms`);
  const before = await bed.drops('policy-drop');
  await sendOnce(ALL - DENIED);
  expect((await bed.drops('policy-drop')) - before).toBe(DENIED);
  await bed.applyRules(rules('allow'));
  await sendOnce(ALL);
}, 120_000);
