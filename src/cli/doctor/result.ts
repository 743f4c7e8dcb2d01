// What a check of `headgate doctor` says: that all is well, what to mend and how, or why it could not look.
export interface Result {
  check: string;
  state: 'ok' | 'mend' | 'unknown';
  what: string;
  /** What to do; for each `mend` there is one. */
  remedy?: string;
}

export const ok = (check: string, what: string): Result => ({ check, state: 'ok', what });
export const mend = (check: string, what: string, remedy: string): Result => ({
  check,
  state: 'mend',
  what,
  remedy,
});
export const unknown = (check: string, what: string): Result => ({ check, state: 'unknown', what });

/** What there is to mend, or that all is well. */
export function orOk(check: string, findings: readonly Result[], what: string): Result[] {
  return findings.length > 0 ? [...findings] : [ok(check, what)];
}

const MOST_NAMED = 3;

/** `a, b, c and 4 more`. */
export function some(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return `${names.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
