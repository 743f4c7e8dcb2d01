// Speaks to control's HTTP API on its unix socket. Throws HeadgateErrors: control's own, or why it cannot be reached.
import { request } from 'node:http';
import { NDJSON, type Outcome, type Progress } from '../control/progress.js';
import { UNENFORCED_HEADER } from '../control/headers.js';
import { errorCode, errorMessage, HeadgateError, type ErrorBody } from '../shared/errors.js';
import { controlSocket } from '../shared/paths.js';
import { setUnenforced } from './banner.js';

export class ApiClient {
  readonly #socket: string;

  constructor(runDir: string) {
    this.#socket = controlSocket(runDir);
  }

  get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path);
  }

  /** `show` is told where the request has come to. */
  post<T>(path: string, body: unknown, show?: (progress: Progress) => void): Promise<T> {
    return this.#call<T>('POST', path, body, show);
  }

  delete<T>(path: string): Promise<T> {
    return this.#call<T>('DELETE', path);
  }

  #call<T>(method: string, path: string, body?: unknown, show?: (progress: Progress) => void): Promise<T> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = {
      ...(payload && { 'Content-Type': 'application/json', 'Content-Length': payload.length }),
      ...(show && { Accept: NDJSON }),
    };
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#socket, method, path, headers }, (response) => {
        const said = response.headers[UNENFORCED_HEADER];
        setUnenforced(typeof said === 'string' ? decodeURIComponent(said) : undefined);
        const chunks: Buffer[] = [];
        const lines =
          show !== undefined && response.headers['content-type'] === NDJSON ? new Lines<T>(show) : undefined;
        response.on('data', (chunk: Buffer) => (lines ? lines.push(chunk) : chunks.push(chunk)));
        response.on('error', (error) => reject(this.#unreachable(error)));
        response.on('end', () => {
          try {
            resolve(lines ? lines.outcome() : outcome<T>(response.statusCode ?? 0, Buffer.concat(chunks)));
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

/** Reads lines of progress, shows them, and keeps the last one: the outcome. */
class Lines<T> {
  #chunks: Buffer[] = [];
  #last: Outcome | undefined;
  readonly #show: (progress: Progress) => void;

  constructor(show: (progress: Progress) => void) {
    this.#show = show;
  }

  push(chunk: Buffer): void {
    let begin = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', begin)) {
      this.#chunks.push(chunk.subarray(begin, end));
      this.#take(Buffer.concat(this.#chunks).toString('utf8'));
      this.#chunks = [];
      begin = end + 1;
    }
    this.#chunks.push(chunk.subarray(begin));
  }

  #take(line: string): void {
    const value = JSON.parse(line) as Progress | Outcome;
    if ('step' in value) this.#show(value);
    else this.#last = value;
  }

  outcome(): T {
    if (this.#last === undefined) {
      throw new HeadgateError('control-lost', 'Control ended before it answered.', {
        remedy: '`headgate diff` tells what is in force.',
      });
    }
    if ('result' in this.#last) return this.#last.result as T;
    throw HeadgateError.from(this.#last.error);
  }
}

function outcome<T>(status: number, bytes: Buffer): T {
  const value = JSON.parse(bytes.toString('utf8')) as T | { error: ErrorBody };
  if (status === 200) return value as T;
  throw HeadgateError.from((value as { error: ErrorBody }).error);
}
