// What a lab tries, what it expects, and how it reports: the parts that need no network.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { readDocuments, type Document } from '../../src/documents/index.js';
import { attemptsBetween, parseService, serviceName, servicesOf } from '../../src/lab/attempts.js';
import { agrees, type Row } from '../../src/lab/check.js';
import { Expectations } from '../../src/lab/expectations.js';
import { reportOf } from '../../src/lab/table.js';
import { placesOf } from '../../src/lab/topology.js';

const LAB = `
apiVersion: headgate/v1
kind: Segment
metadata: {name: lan}
spec: {}
---
apiVersion: headgate/v1
kind: Workload
metadata: {name: a}
spec: {segment: lan, attach: {tap: {netns: hg-a, name: eth0, addresses: [10.0.0.1/24, 'fd00::1/64']}}}
---
apiVersion: headgate/v1
kind: Workload
metadata: {name: b}
spec: {segment: lan, attach: {tap: {netns: hg-b, name: eth0, addresses: [10.0.0.2/24]}}}
---
apiVersion: headgate/v1
kind: Workload
metadata: {name: c}
spec: {segment: lan, attach: {veth: {interface: c0}}}
---
apiVersion: headgate/v1
kind: SecurityPolicy
metadata: {name: p}
spec: {rules: [{name: r, services: [{protocol: tcp, ports: [80, 8000-8100]}, {protocol: udp, ports: [53]}], action: allow}]}
`;

function documentsOf(text: string): Document[] {
  const { documents, errors } = readDocuments([{ file: 'lab.yaml', text }]);
  expect(errors).toEqual([]);
  return documents;
}

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

function expectationsOf(text: string): Expectations {
  const folder = mkdtempSync(join(tmpdir(), 'hg-expected-'));
  folders.push(folder);
  mkdirSync(join(folder, 'lab'));
  writeFileSync(join(folder, 'lab', 'expected.yaml'), text);
  const read = Expectations.read(folder);
  if (read === undefined) throw new Error('not read');
  return read;
}

test('a service that a document names is tried, and ports that none names', () => {
  const names = servicesOf(documentsOf(LAB)).map(serviceName);
  expect(names).toEqual(['tcp/80', 'tcp/8000', 'tcp/9999', 'udp/53', 'udp/9998', 'icmp']);
});

test('the port that none names moves away from one that is named', () => {
  const documents = documentsOf(LAB.replace('80, 8000-8100', '9999'));
  expect(servicesOf(documents).map(serviceName)).toContain('tcp/9998');
});

test('every ordered pair is tried in the families that both have', () => {
  const documents = documentsOf(LAB);
  const places = placesOf(documents);
  expect(places.map(({ workload, netns }) => [workload, netns])).toEqual([
    ['a', 'hg-a'],
    ['b', 'hg-b'],
  ]);
  const attempts = attemptsBetween(places, servicesOf(documents));
  expect(attempts).toHaveLength(2 * 6); // b has no IPv6
  expect(new Set(attempts.map(({ address }) => address))).toEqual(new Set(['10.0.0.1', '10.0.0.2']));
});

test('two workloads in one namespace are refused', () => {
  expect(() => placesOf(documentsOf(LAB.replace('hg-b', 'hg-a')))).toThrow(/a and b are in one namespace/);
});

test.each(['tcp/80', 'udp/0', 'icmp'])('%s is a service', (text) => {
  const service = parseService(text);
  expect(service && serviceName(service)).toBe(text);
});

test.each(['tcp', 'tcp/', 'tcp/70000', 'sctp/1', 'icmp/8'])('%s is no service', (text) => {
  expect(parseService(text)).toBeUndefined();
});

test('expectations allow what they list, and nothing else', () => {
  const expectations = expectationsOf('allow: [{from: a*, to: b, services: [tcp/80]}]');
  const documents = documentsOf(LAB);
  const allowed = attemptsBetween(placesOf(documents), servicesOf(documents)).filter((attempt) =>
    expectations.allows(attempt),
  );
  expect(
    allowed.map(({ from, to, service }) => `${from.workload} ${to.workload} ${serviceName(service)}`),
  ).toEqual(['a b tcp/80']);
});

test.each([
  ['allow: [{from: a, to: b, services: [tcp/99999]}]', /"tcp\/99999" is not a service/],
  ['alow: []', /expected\.yaml/],
  ['', /expected\.yaml/],
])('expectations that cannot be used are refused: %s', (text, message) => {
  expect(() => expectationsOf(text)).toThrow(message);
});

function row(outcome: Row['answer']['outcome'], faults: string[] = []): Row {
  const place = (workload: string) => ({ workload, netns: workload, device: 'eth0' });
  return {
    attempt: {
      from: place('a'),
      to: place('b'),
      service: { protocol: 'tcp', port: 80 },
      family: 4,
      address: '10.0.0.2',
    },
    answer: { outcome, detail: '' },
    policy: {
      action: 'allow',
      packet: { protocol: 6, source: '', destination: '' },
      decisions: [],
      notes: [],
    },
    decidedBy: ['leaving a: p/r allows'],
    faults,
  };
}

test('rows agree only when each does, and there is at least one', () => {
  expect(agrees([row('reached'), row('reached')])).toBe(true);
  expect(agrees([row('reached'), row('silent', ['lost'])])).toBe(false);
  expect(agrees([])).toBe(false);
});

test('the report names every way with what decided it, and shouts about what is wrong', () => {
  expect(reportOf([row('reached')])).toMatch(/a +b +tcp\/80 +reached +- +allow +leaving a: p\/r allows/);
  expect(reportOf([row('reached')])).toContain('all as the policy says');
  const wrong = reportOf([row('silent', ['lost'])]);
  expect(wrong).toContain('WRONG a -> b tcp/80 IPv4: lost');
  expect(wrong).toContain('1 NOT as they should be');
});
