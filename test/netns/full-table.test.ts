// A full connection table: what is established stays, new flows are refused and counted, and there is room again
// once the flood has gone.
//
//     a (10.77.0.1) ---TAP--- Headgate (room for 1,024 connections) ---TAP--- b (10.77.0.2, TCP 80)
//     flood: UDP from a to 3,000 ports of b, answered by nobody
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execIn, waitUntil } from '../../src/lab/namespaces.js';
import { ALLOW_ALL, Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: ALLOW_ALL,
    host: { connections: 1024, timeouts: { udpOneWay: 4, denied: 4, tcpEstablished: 3600 } },
  });
  await bed.agent('b').listen({ tcp: [80] });
}, 60_000);
afterAll(() => bed?.stop());

/** UDP datagrams to many ports, each a new flow. */
const flood = (address: string, ports: number) =>
  execIn(bed.netns('a'), [
    '/usr/bin/python3',
    '-c',
    `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(20000, 20000 + ${ports}):
    try: s.sendto(b"x", ("${address}", port))
    except OSError: pass
`,
  ]);

test('the table fills, established connections live on, new ones wait for room', async () => {
  const a = bed.agent('a');
  expect(await a.hold('old', bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await a.use('old')).toMatchObject({ outcome: 'reached' });

  await flood(bed.ipv4('b'), 3000);
  const stats = await bed.stats();
  expect(stats.connectionsLimit).toBe(1024);
  expect(stats.connections).toBeLessThanOrEqual(1024);
  expect(await bed.drops('connections-full')).toBeGreaterThan(0);
  expect(await a.use('old')).toMatchObject({ outcome: 'reached' });

  // One-way flows time out after four seconds: then there is room again.
  await waitUntil(
    'a new connection is let in',
    async () => (await a.tcp(bed.ipv4('b'), 80, 500)).outcome === 'reached',
    15_000,
  );
  expect(await a.use('old')).toMatchObject({ outcome: 'reached' });
}, 40_000);
