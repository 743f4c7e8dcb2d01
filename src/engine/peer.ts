// One end of the socket on which engines and `headgate upgrade` speak: requests with ids in both directions, each
// answered with a result or an error. Framing is that of framing.ts. Both ends are root's, in a folder that nobody else
// may enter; each message is checked by its schema all the same.
import type { Socket } from 'node:net';
import { HeadgateError, toErrorBody, type ErrorBody } from '../shared/errors.js';
import { encodeMessage, FrameReader } from './framing.js';

type Handler = (params: unknown) => unknown;
type Message = { id: number } & (
  { type: string; params: unknown } | { result: unknown } | { error: ErrorBody }
);

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

export class Peer {
  readonly #socket: Socket;
  readonly #handlers: Record<string, Handler>;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  /** When the other end is gone. */
  readonly closed: Promise<void>;

  constructor(socket: Socket, handlers: Record<string, Handler> = {}) {
    this.#socket = socket;
    this.#handlers = handlers;
    const reader = new FrameReader();
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const body of reader.push(chunk))
          void this.#receive(JSON.parse(body.toString('utf8')) as Message);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', () => socket.destroy());
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        const lost = new HeadgateError('peer-lost', 'The other end of the handover socket is gone.');
        for (const { reject } of this.#waiting.values()) reject(lost);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /** Throws the other end's error, or `peer-lost`. */
  ask<T>(type: string, params: unknown = {}): Promise<T> {
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new HeadgateError('peer-lost', 'The other end of the handover socket is gone.'));
        return;
      }
      this.#waiting.set(id, { resolve: (result) => resolve(result as T), reject });
      this.#socket.write(encodeMessage({ id, type, params }));
    });
  }

  /** Resolves when the request has left this process. */
  tell(type: string, params: unknown = {}): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.write(encodeMessage({ id: 0, type, params }), () => resolve());
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  async #receive(message: Message): Promise<void> {
    if (!('type' in message)) {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ('error' in message) waiting?.reject(HeadgateError.from(message.error));
      else waiting?.resolve(message.result);
      return;
    }
    const reply = await this.#answer(message.type, message.params);
    if (message.id !== 0 && !this.#socket.destroyed)
      this.#socket.write(encodeMessage({ id: message.id, ...reply }));
  }

  async #answer(type: string, params: unknown): Promise<{ result: unknown } | { error: ErrorBody }> {
    try {
      const handler = this.#handlers[type];
      if (handler === undefined) throw new HeadgateError('unknown-request', `Nobody here knows '${type}'.`);
      return { result: (await handler(params)) ?? null };
    } catch (error) {
      return { error: toErrorBody(error) };
    }
  }
}
