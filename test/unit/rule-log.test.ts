import { afterEach, beforeEach, expect, it } from 'vitest';
import { RuleLog } from '../../src/control/rule-log.js';
import type { LogEvent } from '../../src/engine/messages.js';
import { BASE, source, Stack } from '../support/stack.js';
import { until } from '../support/until.js';

let stack: Stack;
let ruleLog: RuleLog;

beforeEach(async () => {
  stack = new Stack();
  const control = await stack.start();
  await control.apply(source(BASE), false);
  ruleLog = new RuleLog(control, stack.log);
  ruleLog.start();
});

afterEach(async () => {
  ruleLog.stop();
  await stack.end();
});

const event = (more: Partial<LogEvent>): LogEvent => ({
  time: Date.UTC(2026, 0, 2, 3, 4, 5),
  workload: 'web',
  direction: 'out',
  action: 'allow',
  mode: 'enforce',
  protocol: 6,
  source: '10.0.0.1',
  sourcePort: 40000,
  destination: '10.0.0.2',
  destinationPort: 5432,
  suppressed: 0,
  ...more,
});

const written = () => stack.lines.filter(({ msg }) => msg === 'rule');

it('writes what rules saw, by their ids, with what the rate limit swallowed', async () => {
  stack.native.events.push(
    event({ rule: 'shop/web-to-db', suppressed: 12 }),
    event({ action: 'drop' }),
    event({ rule: 'shop/gone-for-good' }),
  );
  await until('the lines are written', () => written().length === 3);
  expect(written()).toMatchObject([
    {
      level: 'info',
      at: '2026-01-02T03:04:05.000Z',
      rule: 'shop/web-to-db',
      workload: 'web',
      direction: 'out',
      action: 'allow',
      protocol: 'tcp',
      source: '10.0.0.1',
      sourcePort: 40000,
      destination: '10.0.0.2',
      destinationPort: 5432,
      suppressed: 12,
    },
    { rule: 'default', action: 'drop' },
    { rule: 'shop/gone-for-good' },
  ]);
});

it('goes on after the engine was away', async () => {
  await stack.stopEngine();
  await until('control notices', () => stack.control?.status().ready === false);
  await stack.startEngine();
  await stack.ready();
  stack.native.events.push(event({}));
  await until('the line is written', () => written().length === 1);
});
