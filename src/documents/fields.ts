// Building blocks of the document schemas: names, addresses, ports, selections, and maps of known fields.
//
// Every message says what is wrong and how to mend it; the reader (read.ts) adds file, line, column and path.
// Schemas check and never change: what a document says is kept as it was written, so that it can be written
// back without loss. Defaults are applied where policy is resolved.
import { z } from 'zod';
import { accepts } from './accepts.js';
import { explainIssue } from './explain-issue.js';
import { explainRange, parseAddress, parseInterfaceAddress } from './ip.js';
import { suggest } from './nearest.js';

/** A map with these fields and no others. An unknown field is answered with the nearest known one. */
export function fields<S extends z.ZodRawShape>(shape: S) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key: string) => `unknown field "${key}": ${suggest(key, known)}`).join('\n')
        : undefined,
  });
}

/** One of these words. */
export function oneOf<const T extends readonly [string, ...string[]]>(what: string, words: T) {
  return z.enum(words, {
    error: (issue) =>
      typeof issue.input === 'string'
        ? `unknown ${what} "${issue.input}": ${suggest(issue.input, words)}`
        : `${what} is one of ${words.join(', ')}`,
  });
}

/** A string that `wrong` has nothing to say against. */
export function text(wrong: (value: string) => string | undefined) {
  return z.string().superRefine((value, context) => {
    const message = wrong(value);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });
}

export const MAX_NAME = 63;

export const name = text((value) =>
  value.length <= MAX_NAME && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value)
    ? undefined
    : `"${clip(value)}" is not a name: use up to ${MAX_NAME} of a-z, 0-9 and "-", beginning and ending with a letter or digit`,
);

/** A rule's name; it becomes part of the rule id, `policy/rule`. */
export const ruleName = text((value) =>
  value.length <= MAX_NAME && /^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$/.test(value)
    ? undefined
    : `"${clip(value)}" is not a rule name: use up to ${MAX_NAME} letters, digits, "-", "_" and ".", beginning and ending with a letter or digit`,
);

const LABEL_KEY = /^([a-z0-9]([-.a-z0-9]*[a-z0-9])?\/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$/;

export const labelKey = text((value) =>
  value.length <= 317 && LABEL_KEY.test(value)
    ? undefined
    : `"${clip(value)}" is not a label key: use up to 63 letters, digits, "-", "_" and ".", with a DNS prefix before "/" if need be`,
);
export const labelValue = text((value) =>
  LABEL_VALUE.test(value)
    ? undefined
    : `"${clip(value)}" is not a label value: use up to 63 letters, digits, "-", "_" and "."`,
);
export const labels = z.record(labelKey, labelValue);

export const MAX_ADDRESSES = 1_000_000;

/** `10.0.0.0/8`, `10.0.0.7`, `10.0.0.1-10.0.0.9`, and the same for IPv6. */
export const addressRange = text((value) => {
  const result = explainRange(value);
  return 'wrong' in result ? clip(result.wrong, 300) : undefined;
});

export const address = text((value) =>
  parseAddress(value)
    ? undefined
    : `"${clip(value)}" is not an address: write it like 10.0.1.1 or 2001:db8::1`,
);

export const interfaceAddress = text((value) =>
  parseInterfaceAddress(value)
    ? undefined
    : `"${clip(value)}" is not an interface address: write it with its prefix, like 10.0.1.2/24`,
);

/** Lower or upper case with colons; kept as written, compared in lower case. */
export const mac = text((value) => {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(value)) {
    return `"${clip(value)}" is not a MAC: write it like 02:00:00:00:00:01 (quote it)`;
  }
  if (parseInt(value.slice(0, 2), 16) & 1) return `"${value}" is a group MAC: the first byte must be even`;
  return /^[0:]*$/.test(value) ? `"${value}" is no MAC that a host may have` : undefined;
});

/** A Linux interface name. */
export const device = text((value) =>
  value.length <= 15 &&
  /^[^\s/:\p{C}]+$/u.test(value) &&
  Buffer.byteLength(value) <= 15 &&
  value !== '.' &&
  value !== '..'
    ? undefined
    : `"${clip(value)}" is not an interface name: 1 to 15 characters without spaces, "/" and ":"`,
);

export const netns = text((value) =>
  value.length <= 255 && /^(\/[^\0]+|[^/\0\s]+)$/.test(value) && value !== '.' && value !== '..'
    ? undefined
    : `"${clip(value)}" is not a namespace: give a name below /run/netns or an absolute path`,
);

export function number(what: string, min: number, max: number) {
  return z
    .number({ error: () => `${what} is a number from ${min} to ${max}` })
    .superRefine((value, context) => {
      if (Number.isInteger(value) && value >= min && value <= max) return;
      context.addIssue({
        code: 'custom',
        message: `${value} is out of bounds: ${what} is a number from ${min} to ${max}`,
      });
    });
}

export const vlan = number('a VLAN id', 1, 4094);

const PORT_WORDS = 'a port is a number from 0 to 65535 or a range like "8000-8100"';

/** `443`, `"443"` or `"8000-8100"` as inclusive bounds. */
export function parsePorts(value: number | string): [number, number] | undefined {
  const match = typeof value === 'number' ? [value, value, value] : /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(value);
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  const valid = Number.isInteger(first) && first >= 0 && last <= 65535 && first <= last;
  return valid ? [first, last] : undefined;
}

export const ports = z
  .array(
    z.union([z.number(), z.string()], { error: () => PORT_WORDS }).superRefine((value, context) => {
      if (!parsePorts(value))
        context.addIssue({ code: 'custom', message: `"${clip(String(value))}": ${PORT_WORDS}` });
    }),
  )
  .min(1, { error: () => 'the list is empty: leave it out for any port' })
  .max(1024);

/** Strings in one form, anything else in the other: unlike z.union, it reports what is wrong inside. */
export function stringOr<S extends z.ZodType<string>, O extends z.ZodType>(string: S, other: O) {
  return z.custom<string | z.infer<O>>().superRefine((value, context) => {
    const schema = typeof value === 'string' ? string : other;
    if (accepts(schema, value)) return;
    const result = schema.safeParse(value, { error: explainIssue });
    for (const issue of result.error?.issues ?? []) context.addIssue(issue as z.core.$ZodSuperRefineIssue);
  });
}

/** Long input is cut in messages. */
export function clip(value: string, length = 80): string {
  return value.length <= length ? value : `${value.slice(0, length)}...`;
}
