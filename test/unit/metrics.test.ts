// /metrics of a running control is what the list of metrics says, and dashboard and alerts name nothing else.
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { METRICS, type Metric } from '../../src/control/metrics.js';
import { listenMetrics } from '../../src/control/metrics-server.js';
import type { SocketServer } from '../../src/control/sockets.js';
import { metricsSocket } from '../../src/shared/paths.js';
import { get } from '../support/scrape.js';
import { BASE, changed, source, Stack } from '../support/stack.js';
import { until } from '../support/until.js';

const EXAMPLES = resolve(import.meta.dirname, '../../examples/monitoring');

/** The metric of a name as it stands in a sample or a query, with the parts of a summary. */
function metricOf(name: string): Metric | undefined {
  return METRICS.find((metric) =>
    metric.type === 'summary'
      ? [`${metric.name}_sum`, `${metric.name}_count`].includes(name)
      : metric.name === name,
  );
}

describe('the list', () => {
  test('has no name twice', () => {
    expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length);
  });

  test.each(METRICS)('$name follows the conventions', ({ name, type, help, labels }) => {
    expect(name).toMatch(/^(headgate|process)(_[a-z]+)+$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(name, 'base units').not.toMatch(/_(milli|micro|kilo|mega|ms|minutes|hours|percent)/);
    expect(help).toMatch(/^[A-Z0-9].*\.$/);
    for (const label of labels) expect(label).toMatch(/^[a-z]+$/);
  });
});

describe('of a running control', () => {
  let stack: Stack;
  let server: SocketServer;

  beforeEach(async () => {
    stack = new Stack();
    const control = await stack.start();
    server = await listenMetrics(metricsSocket(stack.directory), control, stack.log);
  });

  afterEach(async () => {
    await server.close();
    await stack.end();
  });

  interface Line {
    name: string;
    labels: Record<string, string>;
    value: number;
  }

  async function scrape(): Promise<{ lines: Line[]; comments: string[] }> {
    const { status, type, text } = await get(server.path, '/metrics');
    expect(status).toBe(200);
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text.endsWith('\n')).toBe(true);
    const all = text.trimEnd().split('\n');
    return {
      comments: all.filter((line) => line.startsWith('#')),
      lines: all.filter((line) => !line.startsWith('#')).map(parseLine),
    };
  }

  function parseLine(text: string): Line {
    const [, name = '', braces = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(text) ?? [];
    const pairs = [...braces.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)/g)];
    expect(pairs.map(([whole]) => whole).join(''), text).toBe(braces);
    expect(Number.isFinite(Number(value)), text).toBe(true);
    return {
      name,
      labels: Object.fromEntries(pairs.map(([, label = '', of = '']) => [label, of])),
      value: Number(value),
    };
  }

  const valueOf = (lines: Line[], name: string, labels: Record<string, string> = {}) =>
    lines.find(
      (line) => line.name === name && Object.entries(labels).every(([key, of]) => line.labels[key] === of),
    )?.value;

  /** Counters as an engine with traffic has them. */
  function withTraffic(): void {
    const base = stack.native.stats.bind(stack.native);
    const frames = { sentPackets: 1, sentBytes: 60, receivedPackets: 2, receivedBytes: 120 };
    const limits = { connections: 65_536, halfOpen: 16_384, newPerSecond: 32_768 };
    const begun = { connections: 7, halfOpen: 3, begun: 50, limits };
    const hit = { workload: 'db', direction: 'in' as const, packets: 10, bytes: 1000, idle: 0 };
    stack.native.stats = () => ({
      ...base(),
      workloads: [
        {
          workload: 'web',
          ...frames,
          ...begun,
          drops: { 'policy-drop': 2, 'spoofed-mac': 1, 'connections-rate': 4 },
        },
      ],
      workers: [{ batches: 5, frames: 9 }],
      portals: [{ portal: 'fw', state: 'down', probes: 9, failures: 4, changes: 1 }],
      legs: [
        {
          tag: 'red',
          hop: 1,
          portal: 'fw',
          key: 11,
          sentPackets: [3, 2],
          sentBytes: [300, 200],
          returnedPackets: [3, 1],
          returnedBytes: [300, 100],
          bypassedPackets: 0,
          refusedPackets: 6,
        },
      ],
      hits: [
        { ...hit, rule: 'shop/web-to-db', flows: 2 },
        { ...hit, rule: 'shop/other', flows: 3 },
        { ...hit, flows: 4 },
      ],
    });
  }

  test('every sample is of the list, and everything of the list has one', async () => {
    await stack.client.post('/v1/apply', { sources: source(BASE), prune: false });
    withTraffic();
    const { lines, comments } = await scrape();
    const seen = new Set<string>();
    for (const { name, labels } of lines) {
      const metric = metricOf(name);
      expect(metric, name).toBeDefined();
      expect(Object.keys(labels).sort(), name).toEqual([...(metric?.labels ?? [])].sort());
      seen.add(metric?.name ?? '');
    }
    expect([...seen].sort()).toEqual(METRICS.map(({ name }) => name).sort());
    expect(comments).toEqual(
      METRICS.flatMap(({ name, type, help }) => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]),
    );
    expect(new Set(lines.map(({ name, labels }) => JSON.stringify([name, labels]))).size).toBe(lines.length);
  });

  test('the values are those of the engine and of control', async () => {
    await stack.client.post('/v1/apply', { sources: source(BASE), prune: false });
    await expect(
      stack.client.post('/v1/apply', { sources: source(changed('alow')), prune: false }),
    ).rejects.toMatchObject({ code: 'documents' });
    withTraffic();
    const { lines } = await scrape();
    const drop = { reason: 'policy-drop', direction: 'in' };
    expect(valueOf(lines, 'headgate_drop_packets_total', drop)).toBe(3);
    expect(valueOf(lines, 'headgate_ready')).toBe(1);
    expect(valueOf(lines, 'headgate_policy_revision')).toBe(1);
    expect(valueOf(lines, 'headgate_policy_apply_seconds_count')).toBe(1);
    expect(valueOf(lines, 'headgate_policy_apply_seconds_sum')).toBeGreaterThan(0);
    expect(valueOf(lines, 'headgate_policy_apply_failures_total')).toBe(1);
    expect(valueOf(lines, 'headgate_documents', { kind: 'Workload' })).toBe(2);
    expect(valueOf(lines, 'headgate_rules', { mode: 'enforce' })).toBe(1);
    expect(valueOf(lines, 'headgate_rules', { mode: 'observe' })).toBe(0);
    expect(valueOf(lines, 'headgate_workloads', { state: 'attached' })).toBe(2);
    expect(valueOf(lines, 'headgate_workload_packets_total', { workload: 'web', direction: 'in' })).toBe(2);
    expect(valueOf(lines, 'headgate_workload_bytes_total', { workload: 'web', direction: 'out' })).toBe(60);
    expect(valueOf(lines, 'headgate_workload_drop_packets_total', { workload: 'web' })).toBe(7);
    const web = (labels: Record<string, string>) => ({ workload: 'web', ...labels });
    expect(valueOf(lines, 'headgate_workload_connections', web({ state: 'unanswered' }))).toBe(3);
    expect(valueOf(lines, 'headgate_workload_connections', web({ state: 'answered' }))).toBe(4);
    expect(valueOf(lines, 'headgate_workload_connections_limit', web({ state: 'all' }))).toBe(65_536);
    expect(valueOf(lines, 'headgate_workload_new_connections_total', web({}))).toBe(50);
    const refused = 'headgate_workload_refused_connections_total';
    expect(valueOf(lines, refused, web({ reason: 'connections-rate' }))).toBe(4);
    expect(valueOf(lines, refused, web({ reason: 'half-open-quota' }))).toBe(0);
    expect(valueOf(lines, 'headgate_policy_flows_total', { policy: 'shop' })).toBe(5);
    expect(valueOf(lines, 'headgate_default_flows_total')).toBe(4);
    expect(valueOf(lines, 'headgate_worker_frames_total', { worker: '0' })).toBe(9);
  });

  test('without an engine control still answers', async () => {
    await stack.stopEngine();
    await until('control notices', () => stack.control?.status().engine === undefined);
    const { lines } = await scrape();
    expect(valueOf(lines, 'headgate_engine_connected')).toBe(0);
    expect(valueOf(lines, 'headgate_ready')).toBe(0);
    expect(valueOf(lines, 'headgate_connections')).toBeUndefined();
  });

  test('a label says what it has to, whatever is in it', async () => {
    const base = stack.native.stats.bind(stack.native);
    stack.native.stats = () => ({
      ...base(),
      drops: [{ reason: 'a"b\\c\nd', text: '', direction: 'in', packets: 7 }],
    });
    expect((await get(server.path, '/metrics')).text).toContain(
      '{reason="a\\"b\\\\c\\nd",direction="in"} 7\n',
    );
  });

  test('nothing else is served there, and only owner and group may ask', async () => {
    expect((await get(server.path, '/v1/status')).status).toBe(404);
    expect((await get(server.path, '/metrics', 'POST')).status).toBe(404);
    expect(statSync(server.path).mode & 0o777).toBe(0o660);
  });
});

describe('examples/monitoring', () => {
  /** What a query asks for: `headgate_rules{mode="observe"}` and `sum by (mode)`. */
  function checkQuery(query: string): void {
    const names = query.match(/\b(?:headgate|process)_\w+/g) ?? [];
    expect(names.length, query).toBeGreaterThan(0);
    const known = ['instance'];
    for (const name of names) {
      expect(metricOf(name)?.name, `${name} in ${query}`).toBeDefined();
      known.push(...(metricOf(name)?.labels ?? []));
    }
    const matched = [...query.matchAll(/(\w+)(?:=~|!=|!~|=)"/g)].map(([, label = '']) => label);
    const grouped = [...query.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/, */));
    for (const label of [...matched, ...grouped]) expect(known, query).toContain(label);
  }

  interface Dashboard {
    templating: { list: { name: string; query: string }[] };
    panels: { title: string; targets: { expr: string; legendFormat: string }[] }[];
  }
  const dashboard = JSON.parse(readFileSync(join(EXAMPLES, 'grafana-dashboard.json'), 'utf8')) as Dashboard;
  const targets = dashboard.panels.flatMap(({ title, targets }) =>
    targets.map((target) => ({ title, ...target })),
  );

  test.each(targets)('dashboard: $title: $expr', ({ expr, legendFormat }) => {
    checkQuery(expr);
    for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
      expect(expr).toMatch(new RegExp(`\\b${label}\\b`));
    const variables = ['__rate_interval', ...dashboard.templating.list.map(({ name }) => name)];
    for (const [, name = ''] of expr.matchAll(/\$(\w+)/g)) expect(variables).toContain(name);
  });

  test('the variable of the dashboard', () => {
    const [, instance] = dashboard.templating.list;
    checkQuery(instance?.query ?? '');
  });

  const { groups } = parse(readFileSync(join(EXAMPLES, 'alerts.yml'), 'utf8')) as {
    groups: { rules: { alert: string; expr: string }[] }[];
  };
  test.each(groups.flatMap(({ rules }) => rules))('alert $alert', ({ expr }) => checkQuery(expr));
});
