// Options that several commands share, and what their values have to be.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { LOG_LEVELS } from '../observe/levels.js';
import { defaultPaths } from '../shared/paths.js';

// The variables are named by `env`: the defaults that help and reference show do not depend on them.
const DEFAULTS = defaultPaths({});

export function runDirOption(): Option {
  return new Option('--run-dir <dir>', 'sockets and pools').default(DEFAULTS.runDir).env('HEADGATE_RUN_DIR');
}

export function stateDirOption(): Option {
  return new Option('--state-dir <dir>', 'the store of revisions')
    .default(DEFAULTS.stateDir)
    .env('HEADGATE_STATE_DIR');
}

export function configOption(): Option {
  return new Option('--config <file>', 'the host file; conf.d/ lies beside it')
    .default(DEFAULTS.config)
    .env('HEADGATE_CONFIG');
}

export function logLevelOption(): Option {
  return new Option('--log-level <level>', 'least level that is logged')
    .choices([...LOG_LEVELS])
    .default('info');
}

export function fileOption(): Option {
  return new Option('-f, --filename <path...>', 'files or folders with documents, - for standard input');
}

/** Parses a whole number between two bounds; for commander's argParser. */
export function numberBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`A number between ${least} and ${most} is wanted.`);
  };
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Parses `30d`, `12h`, `5m`, `90s` to seconds; for commander's argParser. */
export function duration(text: string): number {
  const [, number, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(number) * (UNITS[unit ?? ''] ?? NaN);
  if (seconds > 0) return seconds;
  throw new InvalidArgumentError('A time like 30d, 12h, 5m or 90s is wanted.');
}

export function family(text: string): 4 | 6 {
  if (text === '4') return 4;
  if (text === '6') return 6;
  throw new InvalidArgumentError('4 or 6 is wanted.');
}

export type Example = [line: string, what: string];

const EXAMPLES = new WeakMap<Command, Example[]>();

/** Examples at the end of a command's help: each a command and what it does. */
export function examples(command: Command, lines: Example[]): Command {
  EXAMPLES.set(command, lines);
  const text = lines.map(([line, what]) => `  # ${what}\n  ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}

export function examplesOf(command: Command): Example[] {
  return EXAMPLES.get(command) ?? [];
}
