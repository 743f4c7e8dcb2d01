// Flow logs from the engine to the exporters: asked for as the host file says, by name, with losses counted.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { hostSpecSchema } from '../../src/documents/host.js';
import { FlowLog } from '../../src/flow-log/flow-log.js';
import { EngineProcess } from '../../src/engine/engine.js';
import { flowRecord } from '../support/flow-records.js';
import { FakeEngine, quiet } from '../support/fake-engine.js';
import { Stack } from '../support/stack.js';
import { until } from '../support/until.js';

describe('with a control', () => {
  let stack: Stack;
  let flowLog: FlowLog;
  let folder: string;
  let path: string;

  beforeEach(async () => {
    stack = new Stack();
    folder = mkdtempSync(join(tmpdir(), 'headgate-flow-log-'));
    path = join(folder, 'flows');
    flowLog = new FlowLog(await stack.start(), { jsonLines: path, activeTimeout: 17 }, stack.log);
    flowLog.start();
  });
  afterEach(async () => {
    await flowLog.stop();
    await stack.end();
    rmSync(folder, { recursive: true });
  });

  test('takes records with the active timeout of the host file, also from the next engine, and counts', async () => {
    const json = () => stack.control?.flowLogs.json.records;
    stack.native.flowRecords.push(
      flowRecord(),
      flowRecord({ reason: 'active-timeout', state: 'established' }),
    );
    await until('they are written', () => json() === 2);
    expect(stack.native.calls).toContain('flow log 17');
    await stack.stopEngine();
    await until('control notices', () => stack.control?.status().ready === false);
    await stack.startEngine();
    await stack.ready();
    stack.native.flowRecords.push(flowRecord({ verdicts: [], state: 'denied', reason: 'idle-timeout' }));
    await until('it is written', () => json() === 3);
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    const events = lines.map((line) => (JSON.parse(line) as { event: string }).event);
    expect(events).toEqual(['deleted', 'update', 'denied']);
  });

  test('what the engine had no room for is counted and warned of', async () => {
    stack.native.flowRecordsLost = 5;
    await until('it is counted', () => stack.control?.flowLogs.engine.lost === 5);
    expect(stack.lines.filter(({ msg }) => msg === 'flow log records are lost')).toMatchObject([
      { level: 'warn', to: 'the engine', lost: 5 },
    ]);
  });
});

test('an engine that is not asked any more ends them, once', async () => {
  const native = new FakeEngine();
  const folder = mkdtempSync(join(tmpdir(), 'headgate-flow-log-'));
  const engine = new EngineProcess({
    native,
    permits: { namespaces: [], interfaces: [] },
    hostFile: 'host.yaml',
    socket: join(folder, 'engine.sock'),
    version: '0.0.0-test',
    log: quiet,
    tickMilliseconds: 5,
    flowLogMilliseconds: 100,
  });
  await engine.start();
  try {
    const asked = performance.now();
    await engine.handlers().flowLog({ activeTimeout: 1 });
    await until('they end', () => native.calls.includes('end flow log'));
    expect(performance.now() - asked).toBeGreaterThanOrEqual(100);
    await engine.handlers().flowLog({ activeTimeout: 1 });
    await until('they end again', () => native.calls.filter((call) => call === 'end flow log').length === 2);
  } finally {
    await engine.stop();
    rmSync(folder, { recursive: true });
  }
});

describe('the host file', () => {
  const faults = (text: string) =>
    hostSpecSchema
      .safeParse({ flowLog: parse(text) as unknown })
      .error?.issues.map(({ message }) => message) ?? [];

  test.each([
    '{ jsonLines: "-" }',
    '{ jsonLines: /var/log/headgate/flows.jsonl, activeTimeout: 300 }',
    '{ ipfix: { collector: "192.0.2.7:4739" } }',
    '{ ipfix: { collector: "[2001:db8::7]:65535", observationDomain: 4294967295, mtu: 1280 } }',
  ])('takes %s', (text) => expect(faults(text)).toEqual([]));

  test.each([
    ['{}', 'flowLog leads nowhere: give ipfix, jsonLines or both'],
    ['{ activeTimeout: 5 }', 'flowLog leads nowhere'],
    ['{ jsonLines: flows.jsonl }', '"flows.jsonl" is not an absolute path'],
    ['{ ipfix: { collector: collector.example:4739 } }', 'is not an address with a port: write it like'],
    ['{ ipfix: { collector: 192.0.2.7 } }', 'is not an address with a port'],
    ['{ ipfix: { collector: "192.0.2.7:65536" } }', 'is not an address with a port'],
    ['{ ipfix: { collector: "2001:db8::7:4739" } }', 'is not an address with a port'],
    ['{ ipfix: { collector: "192.0.2.7:4739", mtu: 576 } }', '576 is out of bounds'],
    ['{ ipfix: { collecter: "192.0.2.7:4739" } }', 'unknown field "collecter"'],
  ])('refuses %s', (text, fault) => expect(faults(text).join('\n')).toContain(fault));
});
