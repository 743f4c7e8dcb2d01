// The HTTP/JSON API on control's unix socket. Paths carry their version; an error is {error: {code, message, remedy,
// details}} with a fitting status. Who may open the socket may use all of it: its mode is 0660.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../observe/logger.js';
import { HeadgateError, toErrorBody } from '../shared/errors.js';
import type { Control, Tell } from './control.js';
import { UNENFORCED_HEADER } from './headers.js';
import { unenforced } from './observing.js';
import { NDJSON } from './progress.js';
import { ROUTES } from './routes.js';
import { SocketServer } from './sockets.js';

export const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** HTTP status by error code; what is not listed was control's own fault. */
const STATUS: Record<string, number> = {
  'bad-request': 400,
  question: 400,
  'bad-filter': 400,
  'not-permitted': 403,
  'host-document': 403,
  'not-found': 404,
  'unknown-path': 404,
  'unknown-kind': 404,
  'revision-unknown': 404,
  'unknown-workload': 404,
  'unknown-rule': 404,
  'unknown-trace': 404,
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
      remedy: 'Apply the documents in several steps; trace fewer packets of a capture: --count 100.',
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
