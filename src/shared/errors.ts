// The one error that people see: what went wrong, where, and how to mend it.
//
// `code` is for programs and stays the same between releases; `message` says what and where; `remedy` says
// what to do next. It crosses the engine's socket and the HTTP API as {code, message, remedy, details}.

export interface ErrorBody {
  code: string;
  message: string;
  remedy?: string;
  /** Single findings, for example one line for each fault in a set of documents. */
  details?: string[];
}

export class HeadgateError extends Error {
  readonly code: string;
  readonly remedy: string | undefined;
  readonly details: string[];

  constructor(
    code: string,
    message: string,
    options: { remedy?: string; details?: string[]; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HeadgateError';
    this.code = code;
    this.remedy = options.remedy;
    this.details = options.details ?? [];
  }

  toJSON(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      ...(this.details.length === 0 ? {} : { details: this.details }),
    };
  }

  static from(body: ErrorBody): HeadgateError {
    return new HeadgateError(body.code, body.message, {
      ...(body.remedy === undefined ? {} : { remedy: body.remedy }),
      ...(body.details === undefined ? {} : { details: body.details }),
    });
  }
}

/** The `code` of a HeadgateError or of a Node or addon error; `internal` when it has none. */
export function errorCode(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return 'internal';
}

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Any thrown value as what crosses a socket. */
export function toErrorBody(error: unknown): ErrorBody {
  if (error instanceof HeadgateError) return error.toJSON();
  return { code: errorCode(error), message: errorMessage(error) };
}
