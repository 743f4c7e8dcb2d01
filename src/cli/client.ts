// Speaks to control's HTTP API on its unix socket. Throws HeadgateErrors: control's own, or why it cannot be reached.
import { request } from 'node:http';
import { errorCode, errorMessage, HeadgateError, type ErrorBody } from '../shared/errors.js';
import { controlSocket } from '../shared/paths.js';

export class ApiClient {
  readonly #socket: string;

  constructor(runDir: string) {
    this.#socket = controlSocket(runDir);
  }

  get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path);
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#call<T>('POST', path, body);
  }

  delete<T>(path: string): Promise<T> {
    return this.#call<T>('DELETE', path);
  }

  #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers =
      payload === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': payload.length };
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#socket, method, path, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', (error) => reject(this.#unreachable(error)));
        response.on('end', () => {
          try {
            resolve(outcome<T>(response.statusCode ?? 0, Buffer.concat(chunks)));
          } catch (error) {
            reject(error as Error);
          }
        });
      });
      call.on('error', (error) => reject(this.#unreachable(error)));
      call.end(payload);
    });
  }

  #unreachable(cause: Error): HeadgateError {
    const code = errorCode(cause);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return new HeadgateError(
        'control-unreachable',
        `Headgate's control does not run: nothing listens on ${this.#socket}.`,
        {
          cause,
          remedy:
            'Start it with `headgate run` as root, or name its folder with --run-dir or HEADGATE_RUN_DIR.',
        },
      );
    }
    if (code === 'EACCES' || code === 'EPERM') {
      return new HeadgateError('control-forbidden', `This user may not open ${this.#socket}.`, {
        cause,
        remedy: 'Use sudo, or become a member of the group that owns the socket.',
      });
    }
    return new HeadgateError(
      'control-unreachable',
      `Control did not answer on ${this.#socket}: ${errorMessage(cause)}`,
      { cause },
    );
  }
}

function outcome<T>(status: number, bytes: Buffer): T {
  const value = JSON.parse(bytes.toString('utf8')) as T | { error: ErrorBody };
  if (status === 200) return value as T;
  throw HeadgateError.from((value as { error: ErrorBody }).error);
}
