// What one workload may begin. A tenant that fills its share, and one that floods with SYNs, are refused their own new
// connections; what others have open goes on, and what they begin gets through.
//
//     noisy (10.77.0.1) ---TAP---+
//     quiet (10.77.0.2) ---TAP---+--- Headgate ---TAP--- server (10.77.0.3, TCP 80, UDP 53)
import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execIn, spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import { LIMIT_REASONS } from '../../src/shared/limit-reasons.js';
import { ALLOW_ALL, Bed } from './bed.js';

const FLOOD = resolve(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release/syn_flood');
const LIMITS = { connections: 200, halfOpen: 100, newPerSecond: 300 };
/** That nobody has: SYNs to it are never answered, nor are they reset. */
const NOBODY = '10.77.0.77';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({
    workloads: ['noisy', 'quiet', 'server'],
    rules: ALLOW_ALL,
    host: { limits: { ...LIMITS, halfOpen: 150 } },
  });
  const noisy = bed.documents().find(({ metadata }) => metadata.name === 'noisy');
  if (noisy === undefined) throw new Error('no such workload');
  await bed.apply({ ...noisy, spec: { ...noisy.spec, limits: { halfOpen: LIMITS.halfOpen } } });
  await bed.agent('server').listen({ tcp: [80], udp: [53] });
}, 60_000);
afterAll(() => bed?.stop());

const connect = async (from: string, timeoutMs = 500) =>
  (await bed.agent(from).tcp(bed.ipv4('server'), 80, timeoutMs)).outcome;

async function statsOf(workload: string) {
  const found = (await bed.stats()).workloads.find((one) => one.workload === workload);
  if (found === undefined) throw new Error(`no statistics of ${workload}`);
  return found;
}

const refused = ({ drops }: { drops: Record<string, number> }) =>
  LIMIT_REASONS.reduce((sum, reason) => sum + (drops[reason] ?? 0), 0);

test('limits are those of the workload, else of the host', async () => {
  expect((await statsOf('noisy')).limits).toEqual(LIMITS);
  expect((await statsOf('quiet')).limits).toEqual({ ...LIMITS, halfOpen: 150 });
});

test('a tenant that fills its share refuses its own new connections alone', async () => {
  expect(await bed.agent('noisy').hold('own', bed.ipv4('server'), 80)).toMatchObject({ outcome: 'reached' });
  expect(await bed.agent('quiet').hold('kept', bed.ipv4('server'), 80)).toMatchObject({ outcome: 'reached' });
  await execIn(bed.netns('noisy'), [
    '/usr/bin/python3',
    '-c',
    `
import socket, time
for source in range(20000, 20600):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("", source))
        one.connect(("${bed.ipv4('server')}", 53))
        one.send(b"x")
        one.settimeout(0.01)
        try: one.recv(10)
        except OSError: pass
`,
  ]);
  const noisy = await statsOf('noisy');
  expect(noisy.connections).toBe(LIMITS.connections);
  expect(noisy.drops['connections-quota']).toBeGreaterThan(0);
  expect(await connect('noisy')).toBe('silent');
  expect(await bed.agent('noisy').use('own')).toMatchObject({ outcome: 'reached' });

  for (let i = 0; i < 20; i++) expect(await connect('quiet')).toBe('reached');
  expect(await bed.agent('quiet').use('kept')).toMatchObject({ outcome: 'reached' });
  expect(refused(await statsOf('quiet'))).toBe(0);
}, 60_000);

test('a flood of SYNs refuses the flooder alone', async () => {
  const before = await statsOf('noisy');
  const mac = (await bed.attachment('server')).mac ?? '';
  const flood = spawnIn(
    bed.netns('noisy'),
    [FLOOD, '--from', bed.ipv4('noisy'), '--to', NOBODY, '--to-mac', mac, '--seconds', '60'],
    'ignore',
  );
  try {
    await waitUntil('the flood is refused', async () => {
      return refused(await statsOf('noisy')) - refused(before) > 10_000;
    });
    for (let i = 0; i < 50; i++) expect(await connect('quiet', 3000)).toBe('reached');
    expect(await bed.agent('quiet').use('kept')).toMatchObject({ outcome: 'reached' });
    const during = await statsOf('noisy');
    expect(during.halfOpen).toBeLessThanOrEqual(LIMITS.halfOpen);
    expect(flood.exitCode).toBeNull();
  } finally {
    flood.kill('SIGKILL');
  }
  expect(refused(await statsOf('quiet'))).toBe(0);
  expect(await bed.drops('connections-full')).toBe(0);
}, 60_000);
