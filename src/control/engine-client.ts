// Control's end of the engine's socket: one connection, requests with ids and time limits, and a connection that
// is made again with growing pauses for as long as this process lives.
//
// Every result is checked against its schema. A request that is under way when the connection breaks fails with
// `engine-lost`: whether it took effect is then unknown, and the caller reconciles after the next connect.
import { connect, type Socket } from 'node:net';
import { accepts } from '../documents/accepts.js';
import { encodeMessage, FrameReader } from '../engine/framing.js';
import {
  PROTOCOL_VERSION,
  replySchema,
  requests,
  type Hello,
  type Params,
  type RequestType,
  type Result,
} from '../engine/messages.js';
import { errorMessage, HeadgateError } from '../shared/errors.js';

export interface EngineClientOptions {
  path: string;
  /** Milliseconds that a request may take. */
  timeout?: number;
  /** Pause before the second try to connect, doubled up to `mostPause`; milliseconds. */
  firstPause?: number;
  mostPause?: number;
  /** Called after each connect, when the engine has said hello. */
  onConnect: (hello: Hello) => void;
  /** Called when the connection is lost, and once when the first try to connect fails. */
  onDisconnect: (why: string) => void;
}

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export class EngineClient {
  readonly #options: Required<EngineClientOptions>;
  #socket: Socket | undefined;
  #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #pause: number;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #hello: Hello | undefined;
  #lastFault = 'not connected yet';
  /** Those who wait for a connection. */
  #expecting: (() => void)[] = [];
  #lostAt = -Infinity;

  constructor(options: EngineClientOptions) {
    this.#options = { timeout: 60_000, firstPause: 20, mostPause: 50, ...options };
    this.#pause = this.#options.firstPause;
  }

  /** What the engine said when it was connected; undefined while it is not. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  /** Why there is no connection. */
  get fault(): string {
    return this.#lastFault;
  }

  start(): void {
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const resolve of this.#expecting.splice(0)) resolve();
    this.#socket?.destroy();
    this.#fail('control stops');
  }

  /** Waits until an engine is connected again, for at most so long since the last was lost. */
  async connected(mostMilliseconds: number): Promise<void> {
    const milliseconds = mostMilliseconds - (performance.now() - this.#lostAt);
    if (this.#hello !== undefined || this.#closed || milliseconds <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#expecting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Sends one request. Throws `engine-unavailable`, `engine-lost`, `engine-timeout` or the engine's own error. */
  async request<T extends RequestType>(type: T, params: Params<T>): Promise<Result<T>> {
    if (this.#hello === undefined) {
      throw new HeadgateError('engine-unavailable', `The engine is not connected: ${this.#lastFault}.`, {
        remedy:
          'Is `headgate engine` running? Packets are still judged by the last policy while an engine runs.',
      });
    }
    return this.#send(type, params);
  }

  #send<T extends RequestType>(type: T, params: Params<T>): Promise<Result<T>> {
    const socket = this.#socket as Socket;
    const id = this.#nextId++;
    return new Promise<Result<T>>((resolve, reject) => {
      const timer = setTimeout(() => {
        // An answer that comes later would find nobody; a new connection starts clean.
        socket.destroy(new Error(`no answer to ${type} within ${this.#options.timeout / 1000} s`));
      }, this.#options.timeout);
      this.#waiting.set(id, {
        timer,
        reject,
        resolve: (result) => {
          const schema = requests[type].result;
          if (accepts(schema, result)) return resolve(result as Result<T>);
          const parsed = schema.safeParse(result);
          if (parsed.success) resolve(parsed.data as Result<T>);
          else reject(badReply(type, parsed.error.issues[0]));
        },
      });
      try {
        socket.write(encodeMessage({ id, type, params }));
      } catch (error) {
        this.#waiting.delete(id);
        clearTimeout(timer);
        reject(error as Error);
      }
    });
  }

  #connect(): void {
    const socket = connect(this.#options.path);
    const reader = new FrameReader();
    this.#socket = socket;
    let fault = 'the engine closed the connection';
    socket.on('connect', () => void this.#greet(socket));
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const body of reader.push(chunk)) this.#receive(body);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error) => {
      fault = explain(error);
    });
    socket.on('close', () => this.#lost(fault));
  }

  async #greet(socket: Socket): Promise<void> {
    try {
      const hello = await this.#send('hello', { protocol: PROTOCOL_VERSION });
      if (hello.protocol !== PROTOCOL_VERSION) {
        throw new Error(
          `it speaks protocol ${hello.protocol}, this control ${PROTOCOL_VERSION}: run both in one version`,
        );
      }
      this.#hello = hello;
      this.#pause = this.#options.firstPause;
      for (const resolve of this.#expecting.splice(0)) resolve();
      this.#options.onConnect(hello);
    } catch (error) {
      socket.destroy(error as Error);
    }
  }

  #receive(body: Buffer): void {
    const reply = replySchema.parse(JSON.parse(body.toString('utf8')));
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) throw new Error(`an answer to the unknown request ${reply.id}`);
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if (reply.error === undefined) {
      waiting.resolve(reply.result);
      return;
    }
    const { code, message, remedy, details } = reply.error;
    waiting.reject(
      new HeadgateError(code, message, {
        ...(remedy === undefined ? {} : { remedy }),
        ...(details === undefined ? {} : { details }),
      }),
    );
  }

  #lost(why: string): void {
    const news = this.#hello !== undefined || this.#lastFault !== why;
    if (this.#hello !== undefined) this.#lostAt = performance.now();
    this.#hello = undefined;
    this.#lastFault = why;
    this.#fail(why);
    if (this.#closed) return;
    if (news) this.#options.onDisconnect(why);
    this.#retry = setTimeout(() => this.#connect(), this.#pause);
    this.#pause = Math.min(this.#pause * 2, this.#options.mostPause);
  }

  #fail(why: string): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, timer } of waiting) {
      clearTimeout(timer);
      reject(new HeadgateError('engine-lost', `The connection to the engine was lost: ${why}.`));
    }
  }
}

function badReply(type: string, issue: { path: PropertyKey[]; message: string } | undefined): HeadgateError {
  const where = issue === undefined ? '' : ` (${issue.path.map(String).join('.')}: ${issue.message})`;
  return new HeadgateError(
    'engine-reply',
    `The engine's answer to ${type} does not fit the schema${where}.`,
    {
      remedy: 'Run engine and control in one version.',
    },
  );
}

function explain(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT')
    return 'its socket does not exist (the engine is not running, or has another --run-dir)';
  if (error.code === 'ECONNREFUSED') return 'nothing listens on its socket (the engine is not running)';
  if (error.code === 'EACCES') return 'its socket may not be opened by this user';
  return errorMessage(error);
}
