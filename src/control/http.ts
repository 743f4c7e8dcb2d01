// The HTTP/JSON API on control's unix socket. Paths carry their version; an error is {error: {code, message, remedy,
// details}} with a fitting status. Who may open the socket may use all of it: its mode is 0660.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { KINDS, type Kind } from '../documents/index.js';
import { evaluateFlow } from '../policy/index.js';
import type { Logger } from '../observe/logger.js';
import { errorMessage, HeadgateError, toErrorBody } from '../shared/errors.js';
import {
  applyBody,
  explainBody,
  planBody,
  promoteBody,
  rollbackBody,
  type ApplyResult,
  type PlanReviewResult,
  type PromotePlan,
} from './api.js';
import type { Control, Tell } from './control.js';
import { UNENFORCED_HEADER } from './headers.js';
import { observed, unenforced } from './observing.js';
import { NDJSON } from './progress.js';
import { review } from './review.js';
import { SocketServer } from './sockets.js';
import { unusedRules } from './unused.js';
import * as views from './views.js';

export const MAX_BODY_BYTES = 64 * 1024 * 1024;

interface Call {
  control: Control;
  /** What the path's `:names` stand for, in their order. */
  names: string[];
  query: URLSearchParams;
  body: unknown;
  tell: Tell | undefined;
}

interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** `:name` stands for one segment. */
  path: string;
  answer: (call: Call) => unknown;
}

export const ROUTES: Route[] = [
  { method: 'GET', path: '/v1/status', answer: ({ control }) => control.status() },
  {
    method: 'POST',
    path: '/v1/plan',
    answer: ({ control, body }) => planned(control, parse(planBody, body)),
  },
  {
    method: 'POST',
    path: '/v1/apply',
    answer: ({ control, body, tell }) => applied(control, parse(applyBody, body), tell),
  },
  {
    method: 'POST',
    path: '/v1/rollback',
    answer: ({ control, body }) => control.rollback(parse(rollbackBody, body).revision),
  },
  {
    method: 'POST',
    path: '/v1/promote',
    answer: ({ control, body }) => promote(control, parse(promoteBody, body)),
  },
  { method: 'GET', path: '/v1/observed', answer: ({ control }) => observed(control) },
  {
    method: 'POST',
    path: '/v1/explain',
    answer: ({ control, body }) => explained(control, parse(explainBody, body)),
  },
  {
    method: 'GET',
    path: '/v1/documents/:kind',
    answer: ({ control, names: [kind] }) => views.documents(control, kindOf(kind)),
  },
  {
    method: 'GET',
    path: '/v1/documents/:kind/:name',
    answer: ({ control, names: [kind, name] }) => views.documents(control, kindOf(kind), name),
  },
  {
    method: 'DELETE',
    path: '/v1/documents/:kind/:name',
    answer: ({ control, names: [kind, name] }) => control.delete(deletable(kindOf(kind)), name ?? ''),
  },
  { method: 'GET', path: '/v1/rules', answer: ({ control, query }) => ruled(control, query) },
  { method: 'GET', path: '/v1/revisions', answer: ({ control }) => control.revisions() },
  {
    method: 'GET',
    path: '/v1/revisions/:number',
    answer: ({ control, names: [number] }) => control.revision(count(number, 'revision', 1)),
  },
  {
    method: 'GET',
    path: '/v1/flows',
    answer: ({ control, query }) => views.flows(control, flowFilter(query)),
  },
  {
    method: 'GET',
    path: '/v1/events',
    answer: ({ control, query }) => control.events.after(count(query.get('after') ?? '0', 'number', 0)),
  },
  { method: 'GET', path: '/v1/stats', answer: ({ control }) => views.stats(control) },
];

async function planned(control: Control, given: z.output<typeof planBody>): Promise<PlanReviewResult> {
  const { result, desired } = control.plan(given.sources, given.prune);
  return given.review ? { ...result, ...(await review(control, result, desired)) } : result;
}

async function promote(
  control: Control,
  { name, revision }: z.output<typeof promoteBody>,
): Promise<ApplyResult | PromotePlan> {
  if (revision !== undefined) return control.promote(name, revision);
  const { result, desired, revision: planned } = control.planPromote(name);
  return { ...result, ...(await review(control, result, desired)), revision: planned };
}

function applied(control: Control, { sources, prune }: z.output<typeof applyBody>, tell: Tell | undefined) {
  return control.apply(sources, prune, tell);
}

function ruled(control: Control, query: URLSearchParams) {
  const unused = query.get('unused');
  return unused === null ? views.rules(control) : unusedRules(control, count(unused, 'number of seconds', 1));
}

function explained(control: Control, question: z.output<typeof explainBody>) {
  try {
    return evaluateFlow(control.documents, question);
  } catch (cause) {
    throw new HeadgateError('question', errorMessage(cause), { cause });
  }
}

function flowFilter(query: URLSearchParams): views.FlowFilter {
  const workload = query.get('workload');
  return {
    limit: query.has('limit') ? count(query.get('limit') ?? '', 'limit', 1, 100_000) : 1000,
    denied: query.get('denied') === 'true',
    ...(workload === null ? {} : { workload }),
  };
}

function kindOf(text: string | undefined): Kind {
  const kind = KINDS.find((known) => known === text);
  if (kind !== undefined) return kind;
  throw new HeadgateError('unknown-kind', `There is no kind ${text ?? ''}.`, {
    remedy: `Kinds are ${KINDS.join(', ')}.`,
  });
}

function deletable(kind: Kind): Kind {
  if (kind !== 'Host') return kind;
  throw new HeadgateError('host-document', 'The Host document cannot be deleted.', {
    remedy: 'It is the host file: only root edits it.',
  });
}

function count(
  text: string | undefined,
  what: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number {
  const value = /^\d{1,15}$/.test(text ?? '') ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new HeadgateError(
    'bad-request',
    `'${text ?? ''}' is not a ${what}: a number from ${least} on is wanted.`,
  );
}

function parse<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  const details = parsed.error.issues
    .slice(0, 10)
    .map((issue) => `${issue.path.map(String).join('.') || 'body'}: ${issue.message}`);
  throw new HeadgateError('bad-request', 'The body does not fit what this path takes.', { details });
}

/** HTTP status by error code; what is not listed was control's own fault. */
const STATUS: Record<string, number> = {
  'bad-request': 400,
  question: 400,
  'not-permitted': 403,
  'host-document': 403,
  'not-found': 404,
  'unknown-path': 404,
  'unknown-kind': 404,
  'revision-unknown': 404,
  'wrong-method': 405,
  'body-too-big': 413,
  documents: 422,
  'engine-unavailable': 503,
  'engine-lost': 503,
};

/** Serves the API at the path. Throws `control-running` when another control answers there. */
export function listenApi(path: string, control: Control, log: Logger): Promise<SocketServer> {
  return SocketServer.listen(path, (request, response) => void serve(request, response, control, log));
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  control: Control,
  log: Logger,
): Promise<void> {
  const began = performance.now();
  try {
    const result = await answer(request, control, teller(request, response));
    const missing = unenforced(control);
    if (missing !== undefined && !response.headersSent)
      response.setHeader(UNENFORCED_HEADER, encodeURIComponent(missing));
    send(response, 200, result);
  } catch (error) {
    const body = toErrorBody(error);
    const known = error instanceof HeadgateError;
    const status = STATUS[body.code] ?? (known ? 409 : 500);
    if (status === 500) log.error({ err: error }, 'internal error');
    send(response, status, {
      error: known ? body : { code: 'internal', message: `Control failed: ${body.message}` },
    });
  }
  const { method, url } = request;
  log.debug({ method, url, status: response.statusCode, milliseconds: performance.now() - began }, 'request');
}

/** Writes lines of progress for who takes them. The first one begins the answer: its status is then 200. */
function teller(request: IncomingMessage, response: ServerResponse): Tell | undefined {
  if (request.headers.accept !== NDJSON) return undefined;
  return async (progress) => {
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': NDJSON });
    response.write(`${JSON.stringify(progress)}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  };
}

function send(response: ServerResponse, status: number, value: unknown): void {
  if (response.headersSent) {
    response.end(`${JSON.stringify(status === 200 ? { result: value } : value)}\n`);
    return;
  }
  const body = Buffer.from(JSON.stringify(value));
  // What is left of an unread body would be taken for the next request.
  const close = status === 413 ? { Connection: 'close' } : {};
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length, ...close });
  response.end(body);
}

async function answer(request: IncomingMessage, control: Control, tell: Tell | undefined): Promise<unknown> {
  const url = new URL(request.url ?? '/', 'http://headgate');
  const fitting = ROUTES.flatMap((route) => {
    const names = match(route.path, url.pathname);
    return names === undefined ? [] : [{ route, names }];
  });
  if (fitting.length === 0) {
    throw new HeadgateError('unknown-path', `There is no ${url.pathname} here.`, {
      remedy: `Paths: ${[...new Set(ROUTES.map((route) => route.path))].join(' ')}`,
    });
  }
  const found = fitting.find(({ route }) => route.method === request.method);
  if (found === undefined) {
    const methods = fitting.map(({ route }) => route.method).join(', ');
    throw new HeadgateError('wrong-method', `${url.pathname} takes ${methods}, not ${request.method ?? ''}.`);
  }
  const body = found.route.method === 'POST' ? await readBody(request) : undefined;
  return found.route.answer({ control, names: found.names, query: url.searchParams, body, tell });
}

/** The segments that stand for `:names`; undefined when the path is another one. */
function match(pattern: string, path: string): string[] | undefined {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const names: string[] = [];
  for (const [i, segment] of given.entries()) {
    if (wanted[i]?.startsWith(':') && segment !== '') names.push(decode(segment));
    else if (wanted[i] !== segment) return undefined;
  }
  return names;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new HeadgateError('bad-request', `'${segment}' is not a well-formed part of a path.`);
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const tooBig = () =>
    new HeadgateError('body-too-big', `The body exceeds the limit of ${MAX_BODY_BYTES} bytes.`, {
      remedy: 'Apply the documents in several steps.',
    });
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooBig();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw tooBig();
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new HeadgateError('bad-request', 'The body is not JSON.');
  }
}
