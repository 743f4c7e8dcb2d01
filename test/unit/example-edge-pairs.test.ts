// The edge pairs of examples/edge-pairs decide what its README says.
import { expect, test } from 'vitest';
import { formatError, loadPaths } from '../../src/documents/index.js';
import { check, evaluateFlow, type FlowQuestion } from '../../src/policy/index.js';

const { documents, errors } = await loadPaths(['examples/edge-pairs']);

test('it has neither errors nor warnings', () => {
  const checked = check(documents);
  expect([...errors, ...checked.errors, ...checked.warnings].map(formatError)).toEqual([]);
});

const flow = (from: string, to: string, port: number, tracker: string, crossing: 'in' | 'out') => ({
  from,
  to,
  protocol: 6,
  destinationPort: port,
  tracker,
  crossing,
});

test.each<[FlowQuestion, string, string | undefined]>([
  [flow('10.1.0.7', '192.0.2.80', 443, 'corp', 'out'), 'allow', 'corp-edge/out'],
  [flow('10.1.0.7', '192.0.2.80', 443, 'corp', 'in'), 'drop', undefined],
  [flow('198.51.100.9', '10.1.0.25', 25, 'corp', 'in'), 'allow', 'corp-edge/mail-in'],
  [flow('10.1.0.7', '192.0.2.80', 80, 'guest', 'out'), 'drop', undefined],
  [flow('10.1.0.7', '192.0.2.80', 443, 'guest', 'out'), 'allow', 'guest-edge/web'],
])('%j: %s', (question, action, rule) => {
  const answer = evaluateFlow(documents, question);
  expect(answer.action).toBe(action);
  expect(answer.decisions).toHaveLength(1);
  expect(answer.decisions[0]).toMatchObject({
    workload: `tracker:${question.tracker}`,
    direction: question.crossing,
  });
  expect(answer.decisions[0]?.rule?.id).toBe(rule);
});

test('a tracker that no edge pair names is answered with those that one does', () => {
  const ask = () => evaluateFlow(documents, flow('10.1.0.7', '192.0.2.80', 443, 'crop', 'out'));
  expect(ask).toThrow('no edge pair has a tracker "crop": did you mean "corp"?');
});
