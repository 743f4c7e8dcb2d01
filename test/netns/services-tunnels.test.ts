// Scenario 8 over tunnels: switch and gateway are joined by each encapsulation, one portal speaks GRE and one VLAN, others
// VXLAN (a Linux device), Geneve and NSH; scapy decodes what goes over the wire field by field, and tshark finds nothing
// malformed. services-bed.ts draws the topology; here underlay and portals have addresses:
//
//   u0 198.51.100.1 ==== 198.51.100.2 d0      q1 203.0.113.1 ==== 203.0.113.2 eth0 of p1, likewise q3 and p3 with .129, .130
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { execIn, ip, spawnIn, waitUntil } from '../../src/lab/namespaces.js';
import { document, type Document } from './bed.js';
import { Appliance, ServicesBed, TENANTS, TUNNEL_APPLIANCE, type Seen } from './services-bed.js';

const NUMBERS = { red: 70_011, blue: 70_012 } as const;
const directory = mkdtempSync('/run/hg-captures-');
const UNDERLAY = { sw: '198.51.100.1', gw: '198.51.100.2' };
let bed: ServicesBed;
let appliance: Appliance | undefined;

function switchDocuments(encapsulation: string): Document[] {
  return [
    ...bed.tenants(),
    document('Tunnel', 'underlay', {
      encapsulation,
      local: UNDERLAY.sw,
      remotes: [UNDERLAY.gw],
      ...metadataOf(encapsulation),
    }),
    document('ServicePortal', 'gateway', { tunnel: 'underlay', remote: UNDERLAY.gw }),
    ...TENANTS.flatMap((client) => [
      document('ServiceTag', `${client}-inspect`, { tag: NUMBERS[client], client, service: 'inspect' }),
      document('ServiceInsertion', client, {
        client,
        via: 'gateway',
        rules: [{ name: 'all', services: [{ protocol: 'udp' }, { protocol: 'tcp' }], through: 'inspect' }],
      }),
    ]),
  ];
}

/** red is served behind a tunnel of its own, blue by VLAN on p2. */
function gatewayDocuments(
  encapsulation: string,
  portal: string,
  health?: Record<string, unknown>,
): Document[] {
  const tag = (client: 'red' | 'blue', where: Record<string, unknown>) =>
    document('ServiceTag', `${client}-inspect`, {
      tag: NUMBERS[client],
      client,
      service: 'inspect',
      from: 'switch',
      ...where,
    });
  return [
    document('Tunnel', 'underlay', {
      encapsulation,
      local: UNDERLAY.gw,
      remotes: [UNDERLAY.sw],
      ...metadataOf(encapsulation),
    }),
    document('Tunnel', 'appliances', {
      encapsulation: portal,
      local: '203.0.113.1',
      remotes: ['203.0.113.2'],
      ...metadataOf(portal),
    }),
    document('Segment', 'services', {}),
    document('Workload', 'port2', { segment: 'services', attach: { nic: { interface: 'q2' } } }),
    document('ServicePortal', 'switch', { tunnel: 'underlay', remote: UNDERLAY.sw }),
    document('ServicePortal', 'far', {
      tunnel: 'appliances',
      remote: '203.0.113.2',
      ...(health && { health }),
    }),
    document('ServicePortal', 'p2', { workload: 'port2' }),
    tag('red', { portal: 'far' }),
    tag('blue', { portal: 'p2', portalTags: { p2: 102 } }),
  ];
}

async function configure(
  encapsulation: string,
  portal: string,
  health?: Record<string, unknown>,
): Promise<void> {
  await bed.switch.apply(switchDocuments(encapsulation), true);
  await bed.gateway.apply(gatewayDocuments(encapsulation, portal, health), true);
  await waitUntil('the tunnels are attached', async () => {
    const [there, here] = [await bed.gateway.stats(), await bed.switch.stats()];
    return [...there.portals, ...here.portals].every(({ state }) => state !== 'detached');
  });
}

/** Scapy 2.5 reads NSH with metadata of type 1 alone. */
const context = { context: '000102030405060708090a0b0c0d0e0f' };
const metadataOf = (encapsulation: string) => (encapsulation === 'nsh' ? context : {});

/** What passes a device while `run` does, up to the second frame with `last` in it. */
async function capture(
  host: 'sw' | 'gw',
  device: string,
  last: string,
  run: () => Promise<void>,
): Promise<string> {
  const file = join(directory, `${host}-${device}.pcap`);
  const dump = spawnIn(bed.netns(host), [
    'tcpdump',
    '-U',
    '--immediate-mode',
    '-Z',
    'root',
    '-ni',
    device,
    '-w',
    file,
  ]);
  let said = '';
  dump.stderr?.on('data', (data: Buffer) => (said += data.toString()));
  await waitUntil('tcpdump listens', () => said.includes('listening on'));
  await run();
  await waitUntil('all is captured', () => readFileSync(file, 'latin1').split(last).length > 2);
  dump.kill('SIGINT');
  await waitUntil('tcpdump ends', () => said.includes('packets captured'));
  return file;
}

async function decode(encapsulation: string, file: string): Promise<Seen[]> {
  const said = await execIn(undefined, ['/usr/bin/python3', TUNNEL_APPLIANCE, 'decode', encapsulation, file]);
  return said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Seen);
}

/** Frames that tshark calls malformed, or of a bad checksum or length. */
async function malformed(encapsulation: string, file: string): Promise<string> {
  const as = encapsulation === 'nsh' ? ['-d', 'udp.port==4790,vxlan_gpe'] : [];
  return execIn(undefined, [
    'tshark',
    '-r',
    file,
    ...as,
    '-o',
    'ip.check_checksum:TRUE',
    '-Y',
    '_ws.malformed or ip.checksum.status == 0',
  ]);
}

const FIELDS: Record<string, (key: number) => Record<string, unknown>> = {
  vxlan: (key) => ({ key, flags: 8, reserved: [0, 0] }),
  gre: (key) => ({ key, key_present: 1, proto: 0x6558, version: 0, chksum_present: 0, seqnum_present: 0 }),
  geneve: (key) => ({ key, version: 0, proto: 0x6558, optionlen: 0, oam: 0, critical: 0 }),
  nsh: (key) => ({
    gpe: 0x0c,
    gpe_next: 4,
    key,
    si: 255,
    ttl: 63,
    ver: 0,
    mdtype: 1,
    nextproto: 3,
    length: 6,
  }),
};

beforeAll(async () => {
  bed = await ServicesBed.start();
  const address = (netns: string, device: string, text: string) =>
    ip('-n', bed.netns(netns), 'address', 'add', text, 'dev', device);
  address('sw', 'u0', `${UNDERLAY.sw}/24`);
  address('gw', 'd0', `${UNDERLAY.gw}/24`);
  address('gw', 'q1', '203.0.113.1/25');
  address('p1', 'eth0', '203.0.113.2/25');
  await bed.switch.apply(bed.tenants());
  await bed.switch.attached();
  await bed.startAgents();
  await bed.startNamedServers();
}, 120_000);
afterEach(() => {
  appliance?.stop();
  appliance = undefined;
});
afterAll(async () => {
  await bed?.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe.each([
  ['vxlan', 'gre'],
  ['geneve', 'nsh'],
  ['gre', 'geneve'],
  ['nsh', 'gre'],
])('switch and gateway speak %s, the portal of red %s and that of blue VLAN', (underlay, portal) => {
  test('the same packet of two tenants: each under its tag, field by field, and home again', async () => {
    appliance = Appliance.behind(bed.netns('p1'), portal, '203.0.113.2');
    await appliance.ready();
    await configure(underlay, portal);
    bed.clear();
    const file = await capture('sw', 'u0', 'blue-b same', async () => {
      expect(await bed.ask('red-a', 'same')).toBe('red-b same');
      expect(await bed.ask('blue-a', 'same')).toBe('blue-b same');
    });
    // At the portals: each speaks its own.
    const at = appliance.seen.map(({ fields, outer, source, payload }) => [fields, outer, source, payload]);
    const own = FIELDS[portal]?.(NUMBERS.red);
    expect(at).toEqual([
      [own, ['203.0.113.1', '203.0.113.2'], '10.0.0.1', 'same'],
      [own, ['203.0.113.1', '203.0.113.2'], '10.0.0.2', 'red-b same'],
    ]);
    expect(bed.appliances.p2.seen.map(({ vlan, payload }) => [vlan, payload])).toEqual([
      [102, 'same'],
      [102, 'blue-b same'],
    ]);
    // Between switch and gateway: four passages of each tenant, under its tag.
    const seen = (await decode(underlay, file)).filter(({ payload }) => payload?.includes('same'));
    for (const client of TENANTS) {
      const own = seen.filter(({ fields }) => fields?.['key'] === NUMBERS[client]);
      expect(own.map(({ outer, payload }) => [outer, payload])).toEqual([
        [[UNDERLAY.sw, UNDERLAY.gw], 'same'],
        [[UNDERLAY.gw, UNDERLAY.sw], 'same'],
        [[UNDERLAY.sw, UNDERLAY.gw], `${client}-b same`],
        [[UNDERLAY.gw, UNDERLAY.sw], `${client}-b same`],
      ]);
      for (const { fields, macs } of own as (Seen & { macs: string[] })[]) {
        expect(fields).toEqual(FIELDS[underlay]?.(NUMBERS[client]));
        expect([...macs].sort()).toEqual(['02:00:00:00:00:0a', '02:00:00:00:00:0b']);
      }
    }
    expect(await malformed(underlay, file)).toBe('');
  }, 60_000);
});

test('a portal on an ordinary Linux VXLAN device, asked over HTTP in the tunnel', async () => {
  const p1 = bed.netns('p1');
  const vxlan = (id: number) => {
    ip(
      '-n',
      p1,
      'link',
      'add',
      `vx${id}`,
      'address',
      '02:00:00:00:00:77',
      'type',
      'vxlan',
      'id',
      String(id),
      'local',
      '203.0.113.2',
      'remote',
      '203.0.113.1',
      'dstport',
      '4789',
      'nolearning',
    );
    ip('-n', p1, 'link', 'set', 'dev', `vx${id}`, 'mtu', '1450', 'addrgenmode', 'none', 'up');
  };
  vxlan(NUMBERS.red);
  vxlan(1); // the management network of the portal
  ip('-n', p1, 'address', 'add', '192.0.2.65/26', 'dev', 'vx1');
  const server = spawnIn(p1, ['/usr/bin/python3', '-m', 'http.server', '8080', '--directory', directory]);
  try {
    appliance = Appliance.on(p1, `vx${NUMBERS.red}`);
    await appliance.ready();
    await configure('geneve', 'vxlan', {
      probe: 'http',
      address: '192.0.2.65',
      source: '192.0.2.126',
      port: 8080,
      path: '/',
      tag: 1,
      interval: 100,
    });
    await waitUntil('it is up', async () => {
      const { state, probes, failures } = await bed.gateway.portal('far');
      return state === 'up' && probes > failures + 3;
    });
    expect(await bed.ask('red-a', 'linux')).toBe('red-b linux');
    expect(appliance.seen.map(({ payload }) => payload)).toEqual(['linux', 'red-b linux']);
    expect(await bed.agents['red-a'].tcp('10.0.0.2', 7001)).toMatchObject({ outcome: 'reached' });
    server.kill('SIGKILL');
    await waitUntil('it is down', async () => (await bed.gateway.portal('far')).state === 'down', 3000);
    expect((await bed.gateway.portal('far')).fault).toBe('connection refused');
    expect(await bed.ask('red-a', 'closed')).toBeUndefined();
    expect(await bed.ask('blue-a', 'open')).toBe('blue-b open');
  } finally {
    server.kill('SIGKILL');
    for (const id of [NUMBERS.red, 1]) ip('-n', p1, 'link', 'del', `vx${id}`);
  }
}, 60_000);

test('a tag that the gateway does not know, and a frame that is too long for the way, are counted', async () => {
  appliance = Appliance.behind(bed.netns('p1'), 'gre', '203.0.113.2');
  await appliance.ready();
  await configure('vxlan', 'gre');
  expect(await bed.ask('red-a', 'known')).toBe('red-b known');
  const unknown = async () =>
    (await bed.gateway.drops('tunnel-unknown-key')) + (await bed.gateway.drops('service-tag-unknown'));
  const before = await unknown();
  await bed.gateway.control.delete('/v1/documents/ServiceTag/blue-inspect');
  expect(await bed.ask('blue-a', 'unknown')).toBeUndefined();
  expect(await unknown()).toBeGreaterThan(before);
  // 1,500 bytes do not fit behind outer headers on an underlay of 1,500: each end is told in turn, and cuts.
  const long = 'x'.repeat(1465);
  const tooBig = () => bed.switch.drops('tunnel-too-big');
  const big = await tooBig();
  await bed.ask('red-a', long);
  expect(await tooBig()).toBeGreaterThan(big);
  await waitUntil('both ends know', async () => (await bed.ask('red-a', long)) === `red-b ${long}`);
}, 60_000);
