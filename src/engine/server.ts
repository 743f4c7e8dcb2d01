// The engine's end of the socket: reads requests, answers each with one reply, and never lets a bad one reach
// anything else.
//
// A body that is no request is answered with an error when its id can be read, else with id -1; a frame that
// announces an impossible length closes its connection. Requests of one connection are answered in their order;
// `publish` runs one at a time over all connections.
import { createServer, type Server, type Socket } from 'node:net';
import { chownSync } from 'node:fs';
import { accepts } from '../documents/accepts.js';
import { HeadgateError, toErrorBody } from '../shared/errors.js';
import { listenAt, placeSocket, removeSocket } from '../shared/unix-socket.js';
import { encodeMessage, FrameReader } from './framing.js';
import {
  PROTOCOL_VERSION,
  requests,
  requestSchema,
  type Params,
  type RequestType,
  type Result,
} from './messages.js';

export type Handlers = { [T in RequestType]: (params: Params<T>) => Result<T> | Promise<Result<T>> };

export interface Reply {
  id: number;
  result?: unknown;
  error?: { code: string; message: string; remedy?: string; details?: string[] };
}

function isRequestType(type: string): type is RequestType {
  return Object.hasOwn(requests, type);
}

/** The first faults of a zod check as one line. */
function faults(issues: { path: PropertyKey[]; message: string }[]): string {
  return issues
    .slice(0, 3)
    .map((issue) => `${issue.path.map(String).join('.') || 'message'}: ${issue.message}`)
    .join('; ')
    .slice(0, 500);
}

async function dispatch<T extends RequestType>(
  handlers: Handlers,
  type: T,
  params: unknown,
): Promise<unknown> {
  const schema = requests[type].params;
  // A first load is 100,000 rules: what is right is not copied to say so.
  if (accepts(schema, params)) return handlers[type](params as Params<T>);
  const parsed = schema.safeParse(params);
  if (!parsed.success) throw new HeadgateError('bad-request', `${type}: ${faults(parsed.error.issues)}`);
  return handlers[type](parsed.data as Params<T>);
}

/** Answers one message body, whatever it holds. Never throws. */
export async function answer(handlers: Handlers, body: Buffer): Promise<Reply> {
  let id = -1;
  try {
    const value: unknown = parseJson(body);
    if (typeof value === 'object' && value !== null && 'id' in value && Number.isSafeInteger(value.id)) {
      id = value.id as number;
    }
    const request = requestSchema.safeParse(value);
    if (!request.success) throw new HeadgateError('bad-request', faults(request.error.issues));
    const { type, params } = request.data;
    if (!isRequestType(type)) {
      throw new HeadgateError(
        'unknown-request',
        `The engine does not know the request '${type.slice(0, 64)}'.`,
        {
          remedy: `It speaks protocol ${PROTOCOL_VERSION}: ${Object.keys(requests).join(', ')}.`,
        },
      );
    }
    return { id, result: await dispatch(handlers, type, params) };
  } catch (error) {
    return { id, error: toErrorBody(error) };
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown;
  } catch {
    throw new HeadgateError('bad-request', 'The message is not UTF-8 JSON.');
  }
}

export interface ServerLog {
  warn(fields: object, message: string): void;
}

/** Serves one connection: requests are answered one after the other. */
function serve(socket: Socket, handlers: Handlers, log: ServerLog): void {
  const reader = new FrameReader();
  let queue = Promise.resolve();
  let waiting = 0;
  socket.on('data', (chunk: Buffer) => {
    let messages: Buffer[];
    try {
      messages = reader.push(chunk);
    } catch (error) {
      log.warn({ detail: toErrorBody(error).message }, 'control connection closed: impossible frame');
      socket.destroy();
      return;
    }
    for (const body of messages) {
      waiting += 1;
      queue = queue.then(async () => {
        const reply = await answer(handlers, body);
        waiting -= 1;
        if (waiting === 0) socket.resume();
        if (socket.destroyed) return;
        socket.write(encodeReply(reply));
      });
    }
    // One peer's backlog stays in the socket, not in this process.
    if (waiting > 0) socket.pause();
  });
  socket.on('error', () => socket.destroy());
}

function encodeReply(reply: Reply): Buffer {
  try {
    return encodeMessage(reply);
  } catch (error) {
    return encodeMessage({ id: reply.id, error: toErrorBody(error) });
  }
}

/** Control needs one; a message that is under way may take much memory. */
const MOST_CONNECTIONS = 16;

export interface Listening {
  /** Puts the socket in its place. */
  show(): void;
  /** Takes it away again, if it was put there. */
  hide(): void;
  close(): Promise<void>;
}

/**
 * Listens with mode 0660, under another name at first. `show` puts the socket at the path, in the place of one that is
 * there: who shows it holds the pools' lock, so that one was left behind, or belongs to the engine before. `group` is
 * given the socket when it is set.
 */
export async function listen(
  path: string,
  group: number | undefined,
  handlers: Handlers,
  log: ServerLog,
): Promise<Listening> {
  const connections = new Set<Socket>();
  const server: Server = createServer((socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    serve(socket, handlers, log);
  });
  server.maxConnections = MOST_CONNECTIONS;
  // Node takes away the name that it was bound by when it closes, whoever's that is by then.
  const hidden = `${path}.${process.pid}`;
  let hide = () => undefined as void;
  removeSocket(hidden);
  await listenAt(
    server,
    hidden,
    'The engine',
    'The run directory has to exist, belong to root, and its path has to be shorter than 90 characters.',
  );
  if (group !== undefined) giveToGroup(hidden, group, log);
  server.on('error', (error) => log.warn({ detail: error.message }, 'engine socket'));
  return {
    show: () => {
      hide = placeSocket(hidden, path);
    },
    hide: () => hide(),
    close: () =>
      new Promise((resolve) => {
        // What was asked and answered is on its way still.
        for (const socket of connections) socket.destroySoon();
        server.close(() => resolve());
      }),
  };
}

function giveToGroup(path: string, group: number, log: ServerLog): void {
  try {
    chownSync(path, -1, group);
  } catch (error) {
    log.warn(
      { group, detail: String(error) },
      'the engine socket cannot be given to the group of control: start the engine as a member of that group',
    );
  }
}
