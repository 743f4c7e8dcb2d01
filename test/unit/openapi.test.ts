// The OpenAPI document is what control does: each of its operations there and the other way round, and every body as its
// schemas say.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { request } from 'node:http';
import type { NativeTrace } from '../../src/engine/addon.js';
import { ROUTES } from '../../src/control/routes.js';
import type { SocketServer } from '../../src/control/sockets.js';
import { BASE, changed, source, Stack } from '../support/stack.js';
import { checkAnswer, checkRequest, DOCUMENT, operationOf, OPERATIONS } from '../support/openapi.js';

const DROPPED: NativeTrace = {
  time: 1_700_000_000_000,
  workload: 'web',
  stage: 'classify',
  length: 54,
  packets: 1,
  frame: Buffer.alloc(0),
  headers: {
    sourceMac: '02:00:00:00:00:01',
    destinationMac: '02:00:00:00:00:02',
    vlans: [],
    ethertype: 0x0800,
    tcpFlags: 2,
    flow: { protocol: 6, source: '10.0.0.1', sourcePort: 1, destination: '10.0.0.2', destinationPort: 5432 },
  },
  verdicts: [{ workload: 'web', direction: 'out', action: 'drop', isNew: true }],
  outputs: [],
  drops: [{ reason: 'default-drop', text: 'no rule', stage: 'classify', direction: 'out', workload: 'web' }],
};

let stack: Stack;

beforeAll(async () => {
  stack = new Stack();
  await stack.start();
});

afterAll(() => stack.end());

function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
  const { path: socketPath } = stack.api as SocketServer;
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown }),
      );
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

describe('the document', () => {
  test('is served', async () => {
    expect(await call('GET', '/v1/openapi.json')).toEqual({
      status: 200,
      body: JSON.parse(JSON.stringify(DOCUMENT)) as unknown,
    });
    expect(DOCUMENT.openapi).toBe('3.1.0');
  });

  test('has every route, once', () => {
    const routes = ROUTES.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
    expect([...OPERATIONS.keys()].sort()).toEqual(routes.sort());
    const ids = [...OPERATIONS.values()].map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each([...OPERATIONS])('%s is a path of control, and is described', async (key, operation) => {
    const [method = '', path = ''] = key.split(' ');
    const { body } = await call(
      method,
      path.replace(/\{\w+\}/g, 'x'),
      method === 'POST' ? { wrong: 1 } : undefined,
    );
    const { error } = body as { error?: { code: string } };
    expect(['unknown-path', 'wrong-method', 'internal']).not.toContain(error?.code);
    expect(operation.summary).toMatch(/^[A-Z]/);
    expect(operation.requestBody !== undefined).toBe(method === 'POST');
    const inPath = operation.parameters.filter((one) => one.in === 'path').map(({ name }) => `{${name}}`);
    expect(inPath).toEqual(path.match(/\{\w+\}/g) ?? []);
  });
});

test('what is asked and answered, of every operation, is as the schemas say', async () => {
  stack.native.hits = [
    { rule: 'shop/web-to-db', workload: 'db', direction: 'in', flows: 1, packets: 2, bytes: 3, idle: 9 },
    { workload: 'db', direction: 'in', flows: 1, packets: 2, bytes: 3, idle: 9 },
  ];
  stack.native.flowList = [
    {
      tracker: 'lan',
      protocol: 6,
      source: '10.0.0.1',
      sourcePort: 1234,
      destination: '10.0.0.2',
      destinationPort: 5432,
      state: 'established',
      verdicts: [
        { workload: 'web', direction: 'out', action: 'allow', rule: 'shop/web-to-db' },
        { workload: 'db', direction: 'in', action: 'drop' },
      ],
      packets: [1, 2],
      bytes: [3, 4],
      age: 1,
      idle: 0,
      expires: 10,
    },
  ];
  const question = { from: 'web', to: 'db', protocol: 6, destinationPort: 5432 };
  stack.native.traces = [DROPPED];
  const asked: [method: string, path: string, body?: unknown][] = [
    ['POST', '/v1/apply', { sources: source(BASE), prune: false }],
    ['POST', '/v1/plan', { sources: source(changed('drop')), review: true }],
    ['POST', '/v1/apply', { sources: source(changed('drop')) }],
    ['POST', '/v1/apply', { sources: source(BASE.replace('log: true', 'log: true\n      mode: observe')) }],
    ['GET', '/v1/observed'],
    ['POST', '/v1/promote', { name: 'shop' }],
    ['POST', '/v1/promote', { name: 'shop', revision: 3 }],
    ['GET', '/v1/events'],
    ['GET', '/v1/events?after=1'],
    ['POST', '/v1/explain', question],
    ['POST', '/v1/explain', { ...question, destinationPort: 80 }],
    ['GET', '/v1/openapi.json'],
    ['GET', '/v1/status'],
    ['GET', '/v1/documents/Workload'],
    ['GET', '/v1/documents/SecurityPolicy/shop'],
    ['GET', '/v1/rules'],
    ['GET', '/v1/rules?unused=5'],
    ['GET', '/v1/revisions'],
    ['GET', '/v1/revisions/1'],
    ['GET', '/v1/flows?limit=10'],
    ['GET', '/v1/stats'],
    ['POST', '/v1/trace/simulate', { packets: [question] }],
    ['POST', '/v1/trace/inject', { packet: question, wait: 0 }],
    ['POST', '/v1/trace/live', { filter: 'tcp port 5432', workload: 'web', dropped: true }],
    ['GET', '/v1/trace/live/1?steps=true'],
    ['DELETE', '/v1/trace/live/1'],
    ['POST', '/v1/rollback', {}],
    ['DELETE', '/v1/documents/SecurityPolicy/shop'],
  ];
  for (const [method, path, body] of asked) {
    if (body !== undefined) checkRequest(method, path, body);
    const answer = await call(method, path, body);
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBe(200);
    checkAnswer(method, path, answer.status, answer.body);
  }
  const seen = new Set(asked.map(([method, path]) => operationOf(method, path)));
  expect([...OPERATIONS.keys()].filter((key) => !seen.has(key))).toEqual([]);
});

test('a body that control refuses, or gives wrongly, is not as the schemas say', () => {
  expect(() => checkRequest('POST', '/v1/apply', { sources: [], force: true })).toThrow('force');
  expect(() => checkAnswer('GET', '/v1/status', 200, { version: '1', extra: 1 })).toThrow('pid');
  expect(() => checkAnswer('GET', '/v1/status', 503, { message: 'no' })).toThrow('error');
});
