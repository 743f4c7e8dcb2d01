// Nothing passes before the first policy is active, and nothing that it denies ever passes.
//
//     a (10.77.0.1) ---veth--- Headgate ---veth--- b (10.77.0.2)
//
// Both devices stand and a sends as fast as it can before any process of Headgate starts: UDP to port 7001, which
// the policy allows, and to port 7002, which it denies though the host's default is to allow. Neighbours are fixed,
// so that frames could pass from the first one on. b records what arrives, and when.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createNamespace, deleteNamespace, ip, spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import { Bed, document, policy } from './bed.js';

const id = String(process.pid);
const ends = [
  { netns: `hg${id}-sa`, device: `hga${id}`, mac: '02:00:00:00:77:01', address: '10.77.0.1' },
  { netns: `hg${id}-sb`, device: `hgb${id}`, mac: '02:00:00:00:77:02', address: '10.77.0.2' },
] as const;
let bed: Bed;

const SENDER = `
import socket
sockets = []
for port in (7001, 7002):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("10.77.0.2", port))
    sockets.append(s)
print("sending", flush=True)
while True:
    for s in sockets:
        try: s.send(b"flood")
        except OSError: pass
`;

// One line for the first datagram of each port; the counts whenever a line comes in.
const RECEIVER = `
import select, socket, sys
sockets = {}
for port in (7001, 7002):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    sockets[s] = port
counts = {7001: 0, 7002: 0}
print("receiving", flush=True)
while True:
    ready, _, _ = select.select([*sockets, sys.stdin], [], [])
    for s in ready:
        if s is sys.stdin:
            if not sys.stdin.readline(): sys.exit()
            print("counts", counts[7001], counts[7002], flush=True)
        else:
            s.recv(100)
            counts[sockets[s]] += 1
            if counts[sockets[s]] == 1: print("first", sockets[s], flush=True)
`;

beforeAll(() => {
  for (const { netns, device, mac } of ends) {
    createNamespace(netns);
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', netns);
    ip('link', 'set', device, 'up');
    ip('-n', netns, 'link', 'set', 'eth0', 'up');
  }
  for (const [i, { netns, address }] of ends.entries()) {
    const other = ends[1 - i] ?? ends[0];
    ip('-n', netns, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    ip(
      '-n',
      netns,
      'neighbour',
      'add',
      other.address,
      'lladdr',
      other.mac,
      'dev',
      'eth0',
      'nud',
      'permanent',
    );
  }
  bed = Bed.make({ workloads: [], default: 'allow' });
});
afterAll(async () => {
  await bed?.stop();
  for (const { netns } of ends) deleteNamespace(netns);
});

test('a sender floods from before the first process starts', async () => {
  const said: string[] = [];
  const receiver = spawnIn(ends[1].netns, ['/usr/bin/python3', '-c', RECEIVER]);
  receiver.stdout?.on('data', (data: Buffer) => said.push(...data.toString().trim().split('\n')));
  await waitUntil('the receiver listens', () => said.includes('receiving'));
  const sender = spawnIn(ends[0].netns, ['/usr/bin/python3', '-c', SENDER]);
  let sending = '';
  sender.stdout?.on('data', (data: Buffer) => (sending += data.toString()));
  await waitUntil('the sender floods', () => sending.includes('sending'));

  const counts = async (): Promise<[number, number]> => {
    const before = said.length;
    receiver.stdin?.write('\n');
    const line = await waitUntil('counts', () =>
      said.slice(before).find((text) => text.startsWith('counts')),
    );
    const [, allowed = '', denied = ''] = line.split(' ');
    return [Number(allowed), Number(denied)];
  };

  await bed.startHeadgate(); // engine and control run, without any document
  await waitUntil('control has given the engine its (empty) policy', async () => (await bed.status()).ready);
  expect(await counts()).toEqual([0, 0]);

  const veth = (i: 0 | 1) => ({
    segment: 'lan',
    attach: { veth: { interface: ends[i].device } },
    addresses: [ends[i].address],
  });
  await bed.apply(
    document('Segment', 'lan', {}),
    document('Workload', 'a', veth(0)),
    document('Workload', 'b', veth(1)),
    policy([{ name: 'denied', services: [{ protocol: 'udp', ports: [7002] }], action: 'drop' }]),
  );
  await waitUntil('what is allowed arrives', async () => (await counts())[0] > 1000);
  expect((await counts())[1]).toBe(0);
  expect(await bed.drops('policy-drop', 'a')).toBeGreaterThan(100);

  // Started again: the devices stay, and the store has the policy. Still nothing that is denied may slip through.
  for (let round = 0; round < 3; round++) {
    await bed.headgate?.stop();
    await bed.startHeadgate();
    const [before] = await counts();
    await waitUntil('what is allowed arrives again', async () => (await counts())[0] > before + 1000);
    expect((await counts())[1]).toBe(0);
  }
  sender.kill('SIGKILL');
  receiver.kill('SIGKILL');
}, 90_000);
