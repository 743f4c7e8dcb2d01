// The same TCP segments, judged by the kernel's nf_conntrack and by Headgate's state machine (tcp-verdicts.py says how):
// they agree on what goes on, but for what docs/decisions/tcp-state.md gives reasons for.
//
// HEADGATE_PACKETDRILL=DIR adds the packet lines of DIR/*.pkt, as of tools/testing/selftests/net/netfilter/packetdrill of
// the Linux source; what differs there is printed.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createNamespace, deleteNamespace, execIn } from '../../src/lab/namespaces.js';

type Line = [packet: string, kernel: string, kernelState: string, headgate: string, state: string];

const here = import.meta.dirname;
const netns = { firewall: `hg${process.pid}-fw`, outside: `hg${process.pid}-out` };

// Of each scenario and mode what Headgate says otherwise: `verdict: packet`.
const resetOfAnotherSyn = ['bad-reset: < R. 77:77(0) ack 2 win 0', 'ok: < R. 77:77(0) ack 1 win 0'];
const beyond = 'out-of-window: > P. 1500:1600(100) ack 1 win 1000';
const beyondScaled = 'out-of-window: > P. 300001:301001(1000) ack 1 win 1000';
const oldAck = 'bad-ack: > . 1:1(0) ack 0 win 1000';
const oneWay = [
  'ok: > . 1:1(0) ack 1 win 1000',
  'ok: > P. 1:101(100) ack 1 win 1000',
  'ok: > P. 101:201(100) ack 501 win 1000',
];
const DISAGREEMENTS: Record<string, string[]> = {
  'a closed port, and a reset of another SYN strict': resetOfAnotherSyn,
  'a closed port, and a reset of another SYN pickup': resetOfAnotherSyn,
  'a closed port, and a reset of another SYN liberal': resetOfAnotherSyn,
  'windows without scale strict': [beyond],
  'windows without scale pickup': [beyond],
  'windows with scale strict': [beyondScaled],
  'windows with scale pickup': [beyondScaled],
  'resets at work liberal': ['bad-reset: > R 5000:5000(0) win 0'],
  'begins with what it may not pickup': ['ok: > F. 1:1(0) ack 1 win 1000'],
  'begins with what it may not liberal': ['ok: > S. 0:0(0) ack 1 win 1000', 'ok: > F. 1:1(0) ack 1 win 1000'],
  'an answer is acknowledged by another number strict': [oldAck],
  'an answer is acknowledged by another number pickup': [oldAck],
  'one way alone pickup': oneWay,
  'one way alone liberal': oneWay,
};

beforeAll(() => Object.values(netns).forEach(createNamespace));
afterAll(() => Object.values(netns).forEach(deleteNamespace));

const disagrees = ([, kernel, , headgate]: Line) =>
  (kernel === 'passes') !== (headgate === 'ok' || headgate === 'unchanged');

test('nf_conntrack and Headgate let the same segments go on', async () => {
  const folder = process.env['HEADGATE_PACKETDRILL'];
  const scripts = folder === undefined ? [] : readdirSync(folder).map((file) => join(folder, file));
  const said = await execIn(
    undefined,
    [
      '/usr/bin/python3',
      join(here, 'tcp-verdicts.py'),
      netns.firewall,
      netns.outside,
      join(here, '../../build/Release/tcp_verdicts'),
      join(here, 'tcp-verdicts.txt'),
      ...scripts.filter((file) => file.endsWith('.pkt')),
    ],
    { timeoutMs: 300_000 },
  );
  const results = Object.entries(JSON.parse(said) as Record<string, Line[]>);
  const scenarios = readFileSync(join(here, 'tcp-verdicts.txt'), 'utf8').match(/^scenario /gm) ?? [];
  expect(results.length).toBeGreaterThanOrEqual(3 * scenarios.length);
  const found = results.map(([name, lines]): [string, string[]] => [
    name,
    lines.filter(disagrees).map(([packet, , , headgate]) => `${headgate}: ${packet}`),
  ]);
  for (const [name, differences] of found.filter(([one]) => one.includes('.pkt ')))
    console.log(`${name}: ${differences.length === 0 ? 'all agree' : differences.join('; ')}`);
  expect(
    Object.fromEntries(found.filter(([name, all]) => !name.includes('.pkt ') && all.length > 0)),
  ).toEqual(DISAGREEMENTS);
}, 310_000);
