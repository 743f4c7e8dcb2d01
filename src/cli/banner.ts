// What is not enforced, as control says it with each answer: one line on stderr beside every table.
let unenforced: string | undefined;

/** Remembers what the last answer said. */
export function setUnenforced(text: string | undefined): void {
  unenforced = text;
}

/** One line; undefined while all is enforced. */
export function bannerLine(): string | undefined {
  return unenforced === undefined ? undefined : `not enforced: ${unenforced}`;
}

export function showBanner(): void {
  const line = bannerLine();
  if (line !== undefined) process.stderr.write(`${line}\n`);
}
