// Reads documents: YAML text in, checked and typed documents or errors with file, line and path out.
//
// This is the one gate for what people write: behind it every document has the shape of its kind, and every
// name, address, port and number in it is valid. What documents say about each other is policy/check.ts's.
import { z } from 'zod';
import { accepts } from './accepts.js';
import { explainIssue } from './explain-issue.js';
import { clip, fields, labels, name } from './fields.js';
import { suggest } from './nearest.js';
import { MAX_FILE_BYTES, type Source } from './sources.js';
import { SPEC_SCHEMAS } from './specs.js';
import { API_VERSION, documentKey, formatError, KINDS } from './types.js';
import type { Document, DocumentError, Kind } from './types.js';
import { parseYaml } from './yaml.js';
import type { Parsed } from './yaml.js';

const MAX_ERRORS = 100;

const apiVersion = z.custom<typeof API_VERSION>().superRefine((value, context) => {
  if (value === API_VERSION) return;
  const message =
    value === undefined ? `is missing: add apiVersion: ${API_VERSION}` : `must be ${API_VERSION}`;
  context.addIssue({ code: 'custom', message });
});

const metadata = fields({ name, labels: labels.optional() });

const originSchema = z.strictObject({
  file: z.string(),
  line: z.int().min(1),
  rules: z.array(z.int().min(1)).optional(),
});

const documentSchemas = Object.fromEntries(
  KINDS.map((kind) => [
    kind,
    fields({ apiVersion, kind: z.literal(kind), metadata, spec: SPEC_SCHEMAS[kind] }),
  ]),
) as unknown as Record<
  Kind,
  z.ZodType<Omit<Document, 'origin'> & { metadata: { labels?: Record<string, string> } }>
>;

/** Reads every document of the sources. With any error the documents must not be used. */
export function readDocuments(sources: readonly Source[]): {
  documents: Document[];
  errors: DocumentError[];
} {
  const documents: Document[] = [];
  const errors: DocumentError[] = [];
  const seen = new Map<string, Document>();
  for (const { file, text } of sources) {
    const read = readOne(file, text);
    errors.push(...read.errors);
    for (const { document, error } of read.documents) {
      const first = seen.get(documentKey(document));
      if (first) {
        const message = `duplicate ${document.kind} "${document.metadata.name}": it is already in ${first.origin.file}:${first.origin.line}; remove or rename one`;
        errors.push(error(message));
      } else {
        seen.set(documentKey(document), document);
        documents.push(document);
      }
    }
  }
  return { documents, errors };
}

interface ReadDocument {
  document: Document;
  /** An error about its name. */
  error: (message: string) => DocumentError;
}

function readOne(file: string, text: string): { documents: ReadDocument[]; errors: DocumentError[] } {
  const whole = (message: string) => [{ file, line: 1, column: 1, path: '', message }];
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    return { documents: [], errors: whole(`larger than ${MAX_FILE_BYTES >> 20} MiB: split the file`) };
  }
  try {
    const parsed = parseYaml(file, text);
    const documents: ReadDocument[] = [];
    const errors = parsed.errors.slice(0, MAX_ERRORS);
    for (const one of parsed.documents) {
      const result = readParsed(file, one);
      if (Array.isArray(result)) errors.push(...result);
      else documents.push(result);
    }
    errors.sort((a, b) => a.line - b.line || a.column - b.column);
    return { documents, errors };
  } catch (cause) {
    // The YAML library is not ours: whatever it throws at odd input is an error of that input.
    return { documents: [], errors: whole(`cannot be read as YAML: ${clip(String(cause), 200)}`) };
  }
}

function readParsed(file: string, parsed: Parsed): ReadDocument | DocumentError[] {
  const fail = (path: PropertyKey[], message: string, key = false): DocumentError => ({
    file,
    ...parsed.position(path, key),
    path: formatPath(path),
    message,
  });
  const value = parsed.value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [fail([], 'a document is a map with apiVersion, kind, metadata and spec')];
  }
  const kind = (value as { kind?: unknown }).kind;
  if (!isKind(kind)) {
    const message =
      typeof kind === 'string' ? `unknown kind "${clip(kind)}": ${suggest(kind, KINDS)}` : undefined;
    return [fail(['kind'], message ?? `is missing: one of ${KINDS.join(', ')}`)];
  }
  const result = checkSchema(kind, value);
  if (!result.success) return issuesToErrors(result.error.issues, fail);
  const rules = (result.data.spec as { rules?: unknown[] }).rules;
  const origin = {
    file,
    line: parsed.line,
    ...((kind === 'SecurityPolicy' || kind === 'ServiceInsertion') && {
      rules: rules?.map((_, i) => parsed.position(['spec', 'rules', i]).line),
    }),
  };
  const { name, labels = {} } = result.data.metadata;
  const document = { ...result.data, metadata: { name, labels }, origin } as Document;
  return { document, error: (message) => fail(['metadata', 'name'], message) };
}

type Checked = z.infer<(typeof documentSchemas)[Kind]>;

function checkSchema(kind: Kind, value: unknown): z.ZodSafeParseResult<Checked> {
  const schema = documentSchemas[kind];
  if (accepts(schema, value)) return { success: true, data: value as Checked };
  return schema.safeParse(value, { error: explainIssue });
}

function issuesToErrors(
  issues: readonly z.core.$ZodIssue[],
  fail: (path: PropertyKey[], message: string, key?: boolean) => DocumentError,
): DocumentError[] {
  const errors: DocumentError[] = [];
  const misspelt = new Set(
    issues.filter((issue) => issue.code === 'unrecognized_keys').map(({ path }) => formatPath(path)),
  );
  for (const issue of issues) {
    if (errors.length >= MAX_ERRORS) break;
    // A map with an unknown field is not blamed as well for what it lacks.
    if (issue.code === 'custom' && misspelt.has(formatPath(issue.path))) continue;
    if (issue.code === 'unrecognized_keys') {
      const messages = issue.message.split('\n');
      for (const [i, key] of issue.keys.slice(0, MAX_ERRORS).entries()) {
        errors.push(fail([...issue.path, key], messages[i] ?? `unknown field "${key}"`, true));
      }
    } else {
      errors.push(fail([...issue.path], issue.message, issue.code === 'invalid_key'));
    }
  }
  return errors;
}

/**
 * Checks one document that comes back from a store or over the API, origin included, and returns it; throws an
 * Error that says what is wrong.
 */
export function parseDocument(value: unknown): Document {
  const { origin, ...rest } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const from = originSchema.safeParse(origin);
  const kind = rest['kind'];
  const where = from.success ? from.data : { file: '(stored)', line: 1 };
  const fail = (path: PropertyKey[], message: string): DocumentError => ({
    file: where.file,
    line: where.line,
    column: 1,
    path: formatPath(path),
    message,
  });
  let errors: DocumentError[];
  if (!isKind(kind)) {
    errors = [fail(['kind'], `unknown kind: ${suggest(clip(String(kind)), KINDS)}`)];
  } else if (!from.success) {
    errors = [fail(['origin'], 'a stored document needs origin: {file, line}')];
  } else {
    const result = checkSchema(kind, rest);
    if (result.success) {
      const { name, labels = {} } = result.data.metadata;
      return { ...result.data, metadata: { name, labels }, origin: from.data } as Document;
    }
    errors = issuesToErrors(result.error.issues, fail);
  }
  throw new Error(errors.map(formatError).join('\n'));
}

function isKind(kind: unknown): kind is Kind {
  return typeof kind === 'string' && (KINDS as string[]).includes(kind);
}

/** `spec.rules[2].action`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return clip(
    path
      .map((step, i) =>
        typeof step === 'number' ? `[${step}]` : i === 0 ? String(step) : `.${String(step)}`,
      )
      .join(''),
    300,
  );
}
