// Options that several commands share, and what their values have to be.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { LOG_LEVELS } from '../observe/logger.js';
import { defaultPaths } from '../shared/paths.js';

export function runDirOption(): Option {
  return new Option('--run-dir <dir>', 'sockets and pools')
    .default(defaultPaths().runDir)
    .env('HEADGATE_RUN_DIR');
}

export function stateDirOption(): Option {
  return new Option('--state-dir <dir>', 'the store of revisions')
    .default(defaultPaths().stateDir)
    .env('HEADGATE_STATE_DIR');
}

export function configOption(): Option {
  return new Option('--config <file>', 'the host file; conf.d/ lies beside it')
    .default(defaultPaths().config)
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

/** Examples at the end of a command's help: each a command and what it does. */
export function examples(command: Command, lines: [string, string][]): Command {
  const text = lines.map(([line, what]) => `  # ${what}\n  ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}
