// A workload that routes sends a flow back through a second segment with the same tracker: one connection, judged at each
// of the four ports that it passes.
//
//     a (10.77.1.1) --TAP-- [segment left] --TAP-- r (eth1, eth2, forwards) --TAP-- [segment right] --TAP-- b (10.77.2.1)
//                                 tracker: both                                  tracker: both
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createNamespace, deleteNamespace, execIn, ip, waitUntil } from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { Bed, document } from './bed.js';

const netns = (name: string) => `hg${process.pid}-rw-${name}`;
const agents: Record<string, Agent> = {};
let bed: Bed;

/** With full TCP tracking: a segment that comes a second time must fit, too. */
const rules = (list: object[]) => document('SecurityPolicy', 'test', { tracking: 'strict', rules: list });
const apply = (list: object[]) => bed.apply(rules(list));

/** Name of the workload: namespace, device, address, segment, gateway. */
const WORKLOADS: Record<string, [string, string, string, string, string?]> = {
  a: ['a', 'eth0', '10.77.1.1', 'left', '10.77.1.254'],
  'r-left': ['r', 'eth1', '10.77.1.254', 'left'],
  'r-right': ['r', 'eth2', '10.77.2.254', 'right'],
  b: ['b', 'eth0', '10.77.2.1', 'right', '10.77.2.254'],
};
const PLACES = ['a', 'r-left', 'r-right', 'b'];

const allow = (name: string, rule: object = {}) => ({ name, action: 'allow', ...rule });
const at = (...names: string[]) => ({ appliedTo: { workloads: { names } } });
const tcp = (...ports: number[]) => ({ services: [{ protocol: 'tcp', ports }] });

beforeAll(async () => {
  for (const name of ['a', 'r', 'b']) createNamespace(netns(name));
  await execIn(netns('r'), ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  bed = Bed.make({ workloads: [] });
  await bed.startHeadgate();
  await bed.apply(
    document('Tracker', 'both', {}),
    document('Segment', 'left', { tracker: 'both' }),
    document('Segment', 'right', { tracker: 'both' }),
    ...Object.entries(WORKLOADS).map(([name, [where, device, address, segment, gateway]]) =>
      document('Workload', name, {
        segment,
        attach: {
          tap: {
            netns: netns(where),
            name: device,
            addresses: [`${address}/24`],
            ...(gateway !== undefined && { gateway }),
          },
        },
        // The router forwards for everybody.
        ...(where === 'r' && { addresses: ['0.0.0.0/0'] }),
      }),
    ),
    rules([allow('all')]),
  );
  for (const name of PLACES)
    await waitUntil(`${name} is attached`, async () => (await bed.attachment(name)).state === 'attached');
  for (const name of ['a', 'b']) {
    agents[name] = await Agent.start(netns(name));
    await agents[name].listen({ tcp: [80, 81, 82, 83] });
  }
  await waitUntil('the router forwards', async () => (await tcpTo(80)) === 'reached');
}, 60_000);

afterAll(async () => {
  for (const agent of Object.values(agents)) await agent.close();
  await bed?.stop();
  for (const name of ['a', 'r', 'b']) deleteNamespace(netns(name));
});

beforeEach(() => apply([allow('all')]));

async function tcpTo(port: number, timeout = 700): Promise<string | undefined> {
  return (await agents['a']?.tcp('10.77.2.1', port, timeout))?.outcome;
}

const hold = async (name: string, port: number) =>
  (await agents['a']?.hold(name, '10.77.2.1', port))?.outcome;
const use = async (name: string, timeout = 1000) => (await agents['a']?.use(name, timeout))?.outcome;

/** Flows that the rule has decided, at each port in turn. */
async function decided(rule: string): Promise<number[]> {
  const { hits } = await bed.stats();
  return PLACES.map((place) => hits.find((hit) => hit.rule === rule && hit.workload === place)?.flows ?? 0);
}

test('one connection, judged once at each of the four ports, however many frames it has', async () => {
  await apply([allow('counted', tcp(80)), allow('all')]);
  const before = (await bed.flows()).total;
  expect(await hold('four', 80)).toBe('reached');
  for (let i = 0; i < 20; i++) expect(await use('four')).toBe('reached');
  expect((await bed.flows()).total - before).toBe(1);
  expect(await decided('test/counted')).toEqual([1, 1, 1, 1]);
  const { hits } = await bed.stats();
  for (const place of PLACES) {
    const packets = hits.find((hit) => hit.rule === 'test/counted' && hit.workload === place)?.packets;
    expect(packets).toBeGreaterThan(40);
  }
});

test.each(PLACES)('a rule at %s alone keeps the flow from passing there', async (place) => {
  await apply([
    {
      name: 'here',
      action: 'drop',
      direction: place === 'a' || place === 'r-right' ? 'out' : 'in',
      ...tcp(81),
      ...at(place),
    },
    allow('all'),
  ]);
  const drops = () => Promise.all(PLACES.map((one) => bed.drops('policy-drop', one)));
  const before = await drops();
  expect(await tcpTo(81)).toBe('silent');
  const dropped = (await drops()).map((now, i) => now > (before[i] ?? 0));
  expect(dropped).toEqual(PLACES.map((one) => one === place));
});

test('a rule that keeps live connections does so at the second crossing too', async () => {
  await apply([allow('kept', { ...tcp(82), onChange: 'keep' }), allow('all')]);
  expect(await hold('kept', 82)).toBe('reached');
  expect(await use('kept')).toBe('reached');
  await apply([{ name: 'kept', action: 'drop', ...tcp(82) }, allow('all')]);
  for (let i = 0; i < 5; i++) expect(await use('kept')).toBe('reached');
  expect(await tcpTo(82)).toBe('silent');
});

test('an ICMP error passes all four ports by the verdicts of the flow that it is about', async () => {
  await apply([allow('udp', { services: [{ protocol: 'udp' }] })]);
  expect(await agents['a']?.udp('10.77.2.1', 9)).toMatchObject({ outcome: 'refused' });
});

test('a rule that resets them, at the last port alone, ends the connection everywhere', async () => {
  const last = { ...tcp(83), ...at('b') };
  await apply([allow('ended', { ...last, onChange: 'reset' }), allow('all')]);
  expect(await hold('ended', 83)).toBe('reached');
  expect(await use('ended')).toBe('reached');
  await apply([{ name: 'ended', action: 'drop', ...last }, allow('all')]);
  expect(await use('ended')).toBe('refused');
  const found = (await bed.flows()).flows.filter(({ destinationPort }) => destinationPort === 83);
  expect(found.map(({ state }) => state)).toEqual(['denied']);
});

test('the segments have nothing in common but the tracker', () => {
  expect(ip('-n', netns('a'), 'route', 'get', '10.77.2.1')).toContain('via 10.77.1.254');
});
