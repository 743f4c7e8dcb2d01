// How a failed command ends: the error on stderr with its details and remedy, and the exit code.
import { CommanderError } from 'commander';
import { HeadgateError, errorMessage } from '../shared/errors.js';
import { note, shortPath } from './output.js';

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** Reports the error and gives the exit code that belongs to it. */
export function fail(error: unknown, cwd = process.cwd()): number {
  if (error instanceof CommanderError) {
    // Commander has printed it; help and version are no failures.
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  if (!(error instanceof HeadgateError)) {
    note(
      `headgate: internal error: ${error instanceof Error ? (error.stack ?? error.message) : errorMessage(error)}`,
    );
    return EXIT_FAILED;
  }
  note(`headgate: ${shorten(error.message, cwd)}`);
  for (const detail of error.details) note(`  ${shortPath(detail, cwd)}`);
  if (error.remedy !== undefined) note(shorten(error.remedy, cwd));
  return error.code === 'usage' ? EXIT_USAGE : EXIT_FAILED;
}

function shorten(text: string, cwd: string): string {
  return cwd === '/' ? text : text.replaceAll(`${cwd}/`, '');
}
