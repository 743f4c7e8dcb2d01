// Full tables, as the host file limits them. Connections: what is established stays, new flows are refused and counted,
// and there is room again once the flood has gone. Rules: what does not fit is refused whole.
//
//     a (10.77.0.1) ---TAP--- Headgate (room for 1,024 connections) ---TAP--- b (10.77.0.2, TCP 80)
//     flood: UDP from thousands of ports of a to b
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execIn, waitUntil } from '../../src/lab/namespaces.js';
import { ALLOW_ALL, Bed, policy } from './bed.js';

const RULES = 20;

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: ALLOW_ALL,
    host: {
      connections: 1024,
      rules: RULES,
      limits: { connections: 100_000, halfOpen: 100_000, newPerSecond: 100_000 },
      timeouts: { udpOneWay: 60, udpTwoWay: 6, tcpEstablished: 3600 },
    },
  });
  await bed.agent('b').listen({ tcp: [80], udp: [53] });
}, 60_000);
afterAll(() => bed?.stop());

/** UDP from many source ports: to a port that answers (each flow is then established), or to one that does not. */
const flood = (port: number, flows: number) =>
  execIn(bed.netns('a'), [
    '/usr/bin/python3',
    '-c',
    `
import socket
silent = 0
for source in range(20000, 20000 + ${flows}):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", source))
    s.connect(("${bed.ipv4('b')}", ${port}))
    s.send(b"x")
    if ${port} == 53 and silent < 5:
        s.settimeout(0.2)
        try: s.recv(10)
        except OSError: silent += 1
    s.close()
`,
  ]);

const newConnection = async () => (await bed.agent('a').tcp(bed.ipv4('b'), 80, 500)).outcome;

test('flows that nobody answered make room for new ones', async () => {
  const full = await bed.drops('connections-full');
  await flood(9, 3000);
  const { connections, connectionsLimit } = await bed.stats();
  expect(connectionsLimit).toBe(1024);
  expect(connections).toBeLessThanOrEqual(1024);
  expect(connections).toBeGreaterThan(900);
  expect(await newConnection()).toBe('reached');
  expect(await bed.drops('connections-full')).toBe(full);
}, 30_000);

test('with established flows alone in it, they live on and new ones wait for room', async () => {
  const a = bed.agent('a');
  expect(await a.hold('old', bed.ipv4('b'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await a.use('old')).toMatchObject({ outcome: 'reached' });

  await flood(53, 2000);
  expect((await bed.stats()).connections).toBeLessThanOrEqual(1024);
  expect(await newConnection()).toBe('silent');
  expect(await bed.drops('connections-full')).toBeGreaterThan(0);
  expect(await a.use('old')).toMatchObject({ outcome: 'reached' });

  // Answered flows time out after six seconds: then there is room again.
  await waitUntil('a new connection is let in', async () => (await newConnection()) === 'reached', 20_000);
  expect(await a.use('old')).toMatchObject({ outcome: 'reached' });
}, 60_000);

test('rules beyond the limit are refused with what has to go and where the limit is; those that fit are not', async () => {
  const spare = RULES - ALLOW_ALL.length;
  const rules = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      name: `r-${i}`,
      services: [{ protocol: 'tcp', ports: [5000 + i] }],
      action: 'allow',
    }));
  await expect(bed.apply(policy(rules(spare + 2), 'more'))).rejects.toMatchObject({
    code: 'table-full',
    message: expect.stringMatching(
      /which has 20: 2 have to go.*raise spec\.rules in the host file/s,
    ) as string,
  });
  await bed.apply(policy(rules(spare), 'more'));
});
