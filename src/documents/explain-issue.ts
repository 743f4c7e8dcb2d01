// Zod's issues in words that say how to mend the document.
import type { z } from 'zod';

const TYPE_WORDS: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
};

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'string' ? 'text' : `the ${typeof value} ${String(value)}`;
}

function wrongType(expected: string, value: unknown): string {
  const wanted = TYPE_WORDS[expected] ?? expected;
  if (value === undefined) return `is missing: ${wanted} is needed`;
  if (value === null) return `is empty: give it ${wanted}, or remove the field`;
  const mend = expected === 'string' && typeof value !== 'object' ? `: quote it ("${String(value)}")` : '';
  return `must be ${wanted}, not ${describe(value)}${mend}`;
}

/** Messages for what the schemas do not explain themselves; zod calls it with the raw issue. */
export const explainIssue: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, issue.input);
    case 'too_big':
      return `has more than ${issue.maximum} entries: split it`;
    case 'too_small':
      return `needs at least ${issue.minimum}`;
    case 'invalid_key':
      return issue.issues[0]?.message ?? 'is not a valid key';
    case 'unrecognized_keys':
      return issue.keys.map((key) => `unknown field "${key}"`).join('\n');
    default:
      return `is not valid (${issue.code})`;
  }
};
