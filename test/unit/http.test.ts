// The HTTP API on its socket: answers, and what it says to requests that it cannot serve.
import { request } from 'node:http';
import { connect } from 'node:net';
import { statSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ApplyResult } from '../../src/control/api.js';
import { listenApi, MAX_BODY_BYTES } from '../../src/control/http.js';
import { ROUTES } from '../../src/control/routes.js';
import type { Progress } from '../../src/control/progress.js';
import type { Flow, Verdict } from '../../src/engine/messages.js';
import { controlSocket } from '../../src/shared/paths.js';
import { checkAnswer } from '../support/openapi.js';
import { BASE, source, Stack } from '../support/stack.js';
import { until } from '../support/until.js';

let stack: Stack;

beforeEach(async () => {
  stack = new Stack();
  await stack.start();
});

afterEach(() => stack.end());

interface Answer {
  status: number;
  body: { error?: { code: string; message: string; remedy?: string; details?: string[] } };
}

function call(
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string | number> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath: controlSocket(stack.directory), method, path, headers },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => {
          const status = response.statusCode ?? 0;
          const answered = JSON.parse(text) as Answer['body'];
          try {
            checkAnswer(method, path, status, answered);
            resolve({ status, body: answered });
          } catch (error) {
            reject(error as Error);
          }
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const apply = (text: string, prune = false) =>
  call('POST', '/v1/apply', JSON.stringify({ sources: source(text), prune }));

/** A connection from web to db that was judged so. */
const flow = (verdicts: Verdict[]): Flow => ({
  tracker: 'lan',
  protocol: 6,
  source: '10.0.0.1',
  sourcePort: 1234,
  destination: '10.0.0.2',
  destinationPort: 5432,
  state: 'established',
  verdicts,
  packets: [1, 2],
  bytes: [3, 4],
  age: 1,
  idle: 0,
  expires: 10,
});

describe('errors', () => {
  it.each([
    ['an unknown path', 'GET', '/v1/nothing', undefined, 404, 'unknown-path'],
    ['a path without version', 'GET', '/status', undefined, 404, 'unknown-path'],
    ['a wrong method', 'DELETE', '/v1/status', undefined, 405, 'wrong-method'],
    ['a body that is not JSON', 'POST', '/v1/apply', '{', 400, 'bad-request'],
    ['a body of another shape', 'POST', '/v1/apply', '{"sources": 3}', 400, 'bad-request'],
    ['an unknown field', 'POST', '/v1/apply', '{"sources": [], "force": true}', 400, 'bad-request'],
    ['an empty body', 'POST', '/v1/explain', '', 400, 'bad-request'],
    ['an unknown kind', 'GET', '/v1/documents/Grup', undefined, 404, 'unknown-kind'],
    ['an unknown document', 'GET', '/v1/documents/Group/none', undefined, 404, 'not-found'],
    ['an unknown revision', 'GET', '/v1/revisions/7', undefined, 404, 'revision-unknown'],
    ['a revision that is no number', 'GET', '/v1/revisions/../etc', undefined, 404, 'unknown-path'],
    ['a limit that is no number', 'GET', '/v1/flows?limit=many', undefined, 400, 'bad-request'],
    ['a broken escape', 'GET', '/v1/documents/Group/%zz', undefined, 400, 'bad-request'],
    ['the Host document', 'DELETE', '/v1/documents/Host/test', undefined, 403, 'host-document'],
    [
      'errors in documents',
      'POST',
      '/v1/apply',
      JSON.stringify({ sources: source('kind: Grup\n') }),
      422,
      'documents',
    ],
  ])('%s', async (_name, method, path, body, status, code) => {
    const answer = await call(method, path, body);
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    expect(answer.body.error?.message).toMatch(/\S/);
  });

  it('a body beyond the limit is not read', async () => {
    const announced = await call('POST', '/v1/apply', '{}', { 'Content-Length': 2 });
    expect(announced.status).toBe(400);
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(controlSocket(stack.directory));
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('close', () => resolve(text));
      socket.write(`POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`);
    });
    expect(answer).toMatch(/^HTTP\/1.1 413/);
    expect(answer).toContain('body-too-big');
    expect(answer).toContain('trace fewer packets');
  });

  it('what the engine refuses says why', async () => {
    stack.native.refusal = Object.assign(new Error('the rules table is full'), { code: 'ENOSPC' });
    expect(await apply(BASE)).toEqual({
      status: 409,
      body: { error: { code: 'ENOSPC', message: 'the rules table is full' } },
    });
  });

  it('without an engine what needs one is unavailable, and the rest is not', async () => {
    await apply(BASE);
    await stack.stopEngine();
    await until('control notices', () => stack.control?.status().ready === false);
    expect(await call('GET', '/v1/stats')).toMatchObject({
      status: 503,
      body: { error: { code: 'engine-unavailable' } },
    });
    expect((await call('GET', '/v1/documents/Workload')).status).toBe(200);
    expect((await call('GET', '/v1/rules')).status).toBe(200);
  });

  it('bytes that are not HTTP close the connection and harm nothing', async () => {
    await new Promise<void>((resolve) => {
      const socket = connect(controlSocket(stack.directory));
      socket.on('data', () => undefined);
      socket.on('close', () => resolve());
      socket.write(Buffer.alloc(1000, 0xee));
    });
    expect((await call('GET', '/v1/status')).status).toBe(200);
  });
});

describe('answers', () => {
  it('every path that takes no name and no body answers', async () => {
    const paths = ROUTES.filter(({ method, path }) => method === 'GET' && !path.includes(':')).map(
      ({ path }) => path,
    );
    expect(paths.length).toBeGreaterThan(4);
    for (const path of paths) expect(await call('GET', path), path).toMatchObject({ status: 200 });
  });

  it('documents come with their state and origin', async () => {
    await apply(BASE);
    expect((await call('GET', '/v1/documents/Workload/web')).body).toMatchObject([
      {
        kind: 'Workload',
        metadata: { name: 'web', labels: { tier: 'web' } },
        status: { state: 'attached' },
        origin: { file: '/t/documents.yaml', line: 7 },
      },
    ]);
  });

  it('rules come with the hits of all workloads, flows and counters with rule ids', async () => {
    await apply(BASE);
    const rule = 'shop/web-to-db';
    const hit = { rule, packets: 10, bytes: 1000, flows: 2, idle: 0 };
    stack.native.hits = [
      { ...hit, workload: 'web', direction: 'out' },
      { ...hit, workload: 'db', direction: 'in' },
      { workload: 'db', direction: 'in', flows: 1, packets: 1, bytes: 60, idle: 0 },
    ];
    stack.native.flowList = [
      flow([
        { workload: 'web', direction: 'out', action: 'allow', rule },
        { workload: 'db', direction: 'in', action: 'drop' },
      ]),
    ];
    expect((await call('GET', '/v1/rules')).body).toMatchObject([
      {
        id: 'shop/web-to-db',
        category: 'application',
        hits: { flows: 4, packets: 20, bytes: 2000 },
        workloads: 2,
      },
    ]);
    const unused = async (seconds: number) => (await call('GET', `/v1/rules?unused=${seconds}`)).body;
    expect(await unused(10)).toMatchObject({ rules: [] });
    stack.native.hits = stack.native.hits.map((one) => ({ ...one, idle: 10 }));
    expect(await unused(10)).toMatchObject({ rules: [{ id: 'shop/web-to-db', lastHit: 10, isNew: true }] });
    expect(await call('GET', '/v1/rules?unused=1d')).toMatchObject({ status: 400 });
    const flows = {
      protocol: 'tcp',
      verdicts: [{ rule: 'shop/web-to-db' }, { rule: 'default', action: 'drop' }],
    };
    expect((await call('GET', '/v1/flows')).body).toMatchObject({ total: 1, flows: [flows] });
    expect((await call('GET', '/v1/flows?workload=other')).body).toMatchObject({ total: 1, flows: [] });
    expect((await call('GET', '/v1/flows?denied=true')).body).toMatchObject({ flows: [flows] });
    expect((await call('GET', '/v1/stats')).body).toMatchObject({
      hits: [{ rule: 'shop/web-to-db' }, {}, { rule: 'default' }],
    });
  });

  it('apply tells where it is to who asks for it, then the result or the error', async () => {
    const seen: Progress[] = [];
    const body = { sources: source(BASE), prune: false };
    const result = await stack.client.post<ApplyResult>('/v1/apply', body, (progress) => seen.push(progress));
    expect(result).toMatchObject({ revision: 1, counts: { rulesAdded: 1 } });
    expect(seen.map(({ step }) => step)).toEqual(['read', 'check', 'publish', 'store']);
    expect(seen.map(({ done }) => done)).toEqual(seen.map(({ done }) => done).sort());
    const wrong = { sources: source(BASE.replace('action: allow', 'action: alow')), prune: false };
    seen.length = 0;
    await expect(
      stack.client.post('/v1/apply', wrong, (progress) => seen.push(progress)),
    ).rejects.toMatchObject({ code: 'documents', details: [expect.stringContaining('allow') as string] });
    expect(seen.map(({ step }) => step)).toEqual(['read']);
  });

  it('plan says, when asked, which rules are of no use and which connections would end', async () => {
    await apply(BASE);
    const verdict = { action: 'allow' as const, rule: 'shop/web-to-db' };
    stack.native.flowList = [
      flow([
        { ...verdict, workload: 'web', direction: 'out' },
        { ...verdict, workload: 'db', direction: 'in' },
      ]),
    ];
    const cut = `apiVersion: headgate/v1
kind: SecurityPolicy
metadata: { name: cut }
spec:
  category: emergency
  rules: [{ name: all, action: drop }, { name: tcp, action: allow, services: [{ protocol: tcp }] }]
`;
    const plan = (body: object) =>
      call('POST', '/v1/plan', JSON.stringify({ sources: source(cut), ...body }));
    const { body } = await plan({ review: true });
    expect(body).toMatchObject({
      quality: {
        findings: [
          { kind: 'unreachable', rule: { id: 'cut/tcp' }, by: [{ id: 'cut/all' }] },
          { kind: 'unreachable', rule: { id: 'shop/web-to-db' }, by: [{ id: 'cut/all' }] },
        ],
        lookedAt: 3,
        rules: 3,
      },
      connections: {
        total: 1,
        lookedAt: 1,
        dropped: 1,
        examples: [{ at: { workload: 'web', direction: 'out', rule: 'cut/all' }, how: 'dropped' }],
      },
    });
    expect((await plan({})).body).not.toHaveProperty('quality');
  });

  it('plan changes nothing', async () => {
    const plan = await call('POST', '/v1/plan', JSON.stringify({ sources: source(BASE) }));
    expect(plan).toMatchObject({
      status: 200,
      body: { unchanged: 1, counts: { rulesAdded: 1, workloadsTouched: 2 } },
    });
    expect(stack.native.inventory().rules).toEqual([]);
  });

  it('explain names the rule and its line', async () => {
    await apply(BASE);
    const question = { from: 'web', to: 'db', protocol: 6, destinationPort: 5432 };
    const answer = await call('POST', '/v1/explain', JSON.stringify(question));
    expect(answer.body).toMatchObject({
      action: 'allow',
      decisions: [
        { workload: 'web', rule: { id: 'shop/web-to-db', file: '/t/documents.yaml', line: 26 } },
        { workload: 'db' },
      ],
    });
    expect(await call('POST', '/v1/explain', JSON.stringify({ ...question, to: 'nowhere' }))).toMatchObject({
      status: 400,
      body: { error: { code: 'question' } },
    });
  });
});

describe('the socket', () => {
  it('is for owner and group alone', () => {
    expect(statSync(controlSocket(stack.directory)).mode & 0o777).toBe(0o660);
  });

  it('of a running control is not taken over', async () => {
    const second = listenApi(controlSocket(stack.directory), stack.control as never, stack.log);
    await expect(second).rejects.toMatchObject({ code: 'control-running' });
    expect((await call('GET', '/v1/status')).status).toBe(200);
  });
});
