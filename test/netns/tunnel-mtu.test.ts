// MTUs: what does not fit the path through a tunnel is refused with ICMP, which TCP and ping go by; or goes in fragments
// where the segment asks for it; and doctor says what does not fit before anybody tries. tunnel-bed.ts draws the topology.
import { afterEach, describe, expect, test } from 'vitest';
import { checkTunnelMtu } from '../../src/cli/doctor/tunnels.js';
import { machineAt } from '../../src/cli/doctor/machine.js';
import { subjectOf } from '../../src/cli/doctor/subject.js';
import { execIn, ip, waitUntil } from '../../src/lab/namespaces.js';
import { transfer } from './tunnel-transfer.js';
import { TunnelHost, Underlay, type HostOptions } from './tunnel-bed.js';

let underlay: Underlay;
const hosts: TunnelHost[] = [];

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
  underlay.remove();
});

async function start(options: Partial<HostOptions>, mtu = 1500): Promise<[TunnelHost, TunnelHost]> {
  underlay = new Underlay(mtu);
  for (const number of [1, 2] as const) hosts.push(await TunnelHost.start({ underlay, number, ...options }));
  return hosts as [TunnelHost, TunnelHost];
}

/** A ping of so many bytes of IP that may not be cut; what it says. */
const ping = (from: TunnelHost, to: string, length: number): Promise<string> =>
  execIn(from.netns(), [
    ...['ping', '-n', '-c', '3', '-i', '0.2', '-W', '1', '-M', 'do'],
    ...['-s', String(length - (to.includes(':') ? 48 : 28)), to],
  ]).catch(
    (error: unknown) =>
      String((error as { stdout?: string }).stdout) + String((error as { stderr?: string }).stderr),
  );

describe.each([4, 6] as const)('workloads of MTU 1500 on an underlay of IPv%s with 1500', (family) => {
  const room = family === 4 ? 1450 : 1430;

  test('are told what fits, and TCP goes by it', async () => {
    const [one, two] = await start({ family });
    for (const address of [two.ipv4(), two.ipv6()]) {
      expect(await ping(one, address, room)).toMatch(/ 0% packet loss/);
      const refused = await ping(one, address, room + 1);
      expect(refused).toMatch(/100% packet loss/);
      expect(refused).toMatch(new RegExp(`mtu ?= ?${room}`));
      await transfer(one.netns(), two.netns(), address, 4 << 20);
    }
    expect(await one.drops('tunnel-too-big')).toBeGreaterThan(0);
    expect((await doctor(one)).map(({ state, what }) => `${state}: ${what}`)).toEqual([
      `mend: lan: w1 has MTU 1500, and ${room} fit tunnel overlay to ${family === 4 ? '192.0.2.2' : '2001:db8::2'} (path MTU 1500).`,
    ]);
  }, 60_000);
});

test('with an MTU that fits nothing is refused, and doctor is content', async () => {
  const [one, two] = await start({ mtu: 1450 });
  await transfer(one.netns(), two.netns(), two.ipv4(), 4 << 20);
  expect(await one.drops('tunnel-too-big')).toBe(0);
  expect((await doctor(one)).map(({ state }) => state)).toEqual(['ok']);
}, 60_000);

test('a segment that asks for fragments gets them: whole frames of 1500 pass both ways', async () => {
  const [one, two] = await start({ segment: { oversized: 'fragment' } });
  for (const address of [two.ipv4(), two.ipv6()]) {
    expect(await ping(one, address, 1500)).toMatch(/ 0% packet loss/);
    await transfer(one.netns(), two.netns(), address, 2 << 20);
  }
  expect(await one.drops('tunnel-too-big')).toBe(0);
  const fragments = await execIn(underlay.netns(1), ['cat', '/proc/net/snmp']);
  const [names = '', counts = ''] = fragments.split('\n').filter((line) => line.startsWith('Ip:'));
  expect(Number(counts.split(' ')[names.split(' ').indexOf('FragCreates')])).toBeGreaterThan(0);
}, 60_000);

test('a path that gets narrower is noticed', async () => {
  const [one, two] = await start({ mtu: 1450 });
  expect(await ping(one, two.ipv4(), 1450)).toMatch(/ 0% packet loss/);
  underlay.setMtu(1400);
  await waitUntil('the sender is told', async () => /mtu ?= ?1350/.test(await ping(one, two.ipv4(), 1450)));
  expect(await ping(one, two.ipv4(), 1350)).toMatch(/ 0% packet loss/);
}, 60_000);

test('doctor finds a hop that drops long packets without a word', async () => {
  const [one] = await start({ mtu: 1350 });
  // The far end takes no frame of more than 1400 bytes, and says nothing.
  ip('-n', underlay.netns(2), 'link', 'set', 'under', 'mtu', '1400');
  await execIn(underlay.netns(2), ['tc', 'qdisc', 'add', 'dev', 'under', 'clsact']);
  await execIn(underlay.netns(2), [
    ...['tc', 'filter', 'add', 'dev', 'under', 'ingress', 'bpf', 'bytecode'],
    // ld [length]; more than 1414: drop
    ...['4,128 0 0 0,37 0 1 1414,6 0 0 2,6 0 0 4294967295', 'direct-action'],
  ]).catch(() => execIn(underlay.netns(2), ['nft', NFT_LONG]));
  expect((await doctor(one)).map(({ state, what }) => `${state}: ${what}`)).toEqual([
    'mend: overlay: packets of 1500 bytes, as long as the path to 192.0.2.2 is said to carry, get lost on the way.',
  ]);
}, 60_000);

const NFT_LONG =
  'table ip long { chain in { type filter hook prerouting priority -300; meta length > 1400 drop; }; }';

async function doctor(host: TunnelHost) {
  const subject = await subjectOf(machineAt(), host.folders.runDir);
  return checkTunnelMtu(subject);
}
