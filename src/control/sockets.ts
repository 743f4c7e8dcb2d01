// HTTP servers on unix sockets: one listener at a path, open to the owner and the group.
import { unlinkSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { connect } from 'node:net';
import { HeadgateError } from '../shared/errors.js';
import { listenAt } from '../shared/unix-socket.js';

export class SocketServer {
  readonly #server: Server;
  readonly path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.path = path;
  }

  /** Throws `control-running` when another control answers there. */
  static async listen(path: string, listener: RequestListener): Promise<SocketServer> {
    await removeStale(path);
    const server = createServer(listener);
    server.requestTimeout = 60_000;
    await listenAt(
      server,
      path,
      'Control',
      'The run directory has to exist and be writable for the user that control runs as.',
    );
    return new SocketServer(server, path);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** Removes a socket that nobody listens on. */
function removeStale(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      reject(
        new HeadgateError('control-running', `Another control process answers on ${path}.`, {
          remedy: 'Stop it first, or give this one a --run-dir of its own.',
        }),
      );
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') unlinkSync(path);
      resolve();
    });
  });
}
