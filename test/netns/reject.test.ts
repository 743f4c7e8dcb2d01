// What a denied sender is told: nothing (drop), or at once that it may not (reject): an RST for TCP, an ICMP or
// ICMPv6 "administratively prohibited" for the rest. Each way over IPv4 and IPv6.
//
//     a (10.77.0.1, fd77::1) ---TAP--- Headgate ---TAP--- b (10.77.0.2, fd77::2)
//                                                         listens on TCP 80, 81, 82 and UDP 53, 54, 55
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  const services = (protocol: string, port: number) => [{ protocol, ports: [port] }];
  bed = await Bed.start({
    workloads: ['a', 'b'],
    rules: [
      { name: 'tcp-allow', services: services('tcp', 80), action: 'allow' },
      { name: 'tcp-reject', services: services('tcp', 81), action: 'reject' },
      { name: 'tcp-drop', services: services('tcp', 82), action: 'drop' },
      { name: 'udp-allow', services: services('udp', 53), action: 'allow' },
      { name: 'udp-reject', services: services('udp', 54), action: 'reject' },
      { name: 'udp-drop', services: services('udp', 55), action: 'drop' },
      { name: 'ping-reject', services: [{ protocol: 'icmp' }, { protocol: 'icmpv6' }], action: 'reject' },
    ],
  });
  await bed.agent('b').listen({ tcp: [80, 81, 82], udp: [53, 54, 55] });
}, 60_000);
afterAll(() => bed?.stop());

describe.each([
  ['IPv4', () => bed.ipv4('b')],
  ['IPv6', () => bed.ipv6('b')],
])('%s', (_, address) => {
  test('allowed TCP is answered', async () => {
    expect(await bed.agent('a').tcp(address(), 80)).toMatchObject({ outcome: 'reached' });
  });
  test('rejected TCP gets an RST', async () => {
    expect(await bed.agent('a').tcp(address(), 81)).toEqual({ outcome: 'refused', detail: 'refused' });
  });
  test('dropped TCP gets nothing', async () => {
    expect(await bed.agent('a').tcp(address(), 82)).toMatchObject({ outcome: 'silent' });
  });
  test('allowed UDP is answered', async () => {
    expect(await bed.agent('a').udp(address(), 53)).toMatchObject({ outcome: 'reached' });
  });
  test('rejected UDP gets an ICMP error', async () => {
    const { outcome, detail } = await bed.agent('a').udp(address(), 54);
    expect(outcome).toBe('refused');
    expect(detail).toMatch(/ICMP error/);
  });
  test('dropped UDP gets nothing', async () => {
    expect(await bed.agent('a').udp(address(), 55)).toMatchObject({ outcome: 'silent' });
  });
  test('a rejected ping gets an ICMP error', async () => {
    const { outcome, detail } = await bed.agent('a').ping(address());
    expect(outcome).toBe('refused');
    expect(detail).toMatch(/ICMP error/);
  });
});

test('each denial is counted with its reason', async () => {
  expect(await bed.drops('policy-reject', 'a')).toBeGreaterThanOrEqual(6);
  expect(await bed.drops('policy-drop', 'a')).toBeGreaterThanOrEqual(4);
});
