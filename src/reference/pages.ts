// The tree of commands as plain data, a page for each that does something: what cli.md and the man pages show.
import type { Command } from 'commander';
import { examplesOf, type Example } from '../cli/options.js';

/** What stands before it, and what it is: `-f, --file <path>` and `where to read`. */
export type Term = [name: string, text: string];

export interface Page {
  /** With the words before it: `headgate lab up`. */
  name: string;
  description: string;
  usage: string;
  arguments: Term[];
  options: Term[];
  examples: Example[];
}

export const GENERAL: Term[] = [
  ['exit codes', '0 done, 1 failed, 2 wrong usage, unless the command says otherwise'],
  ['output', 'data goes to standard output, messages to standard error'],
  ['NO_COLOR', 'when set and not empty, nothing is coloured; elsewhere only what a terminal shows is'],
  ['-h, --help', 'of every command: its options and examples'],
];

/** In the order of the program's help; hidden commands have none. */
export function pagesOf(program: Command): Page[] {
  return walk(program, []);
}

function walk(command: Command, before: string[]): Page[] {
  const words = [...before, command.name()];
  const help = command.createHelp();
  const shown = help.visibleCommands(command).filter((one) => command.commands.includes(one));
  return shown.length === 0 ? [pageOf(command, words)] : shown.flatMap((one) => walk(one, words));
}

function pageOf(command: Command, words: string[]): Page {
  const help = command.createHelp();
  const options = help.visibleOptions(command).filter(({ long }) => long !== '--help');
  return {
    name: words.join(' '),
    description: command.description(),
    usage: [...words, ...(options.length > 0 ? ['[options]'] : []), ...argumentsOf(command)].join(' '),
    arguments: command.registeredArguments.map((one) => [one.name(), help.argumentDescription(one)]),
    options: options.map((one) => [
      one.flags,
      `${help.optionDescription(one)}${one.mandatory ? ' (required)' : ''}`,
    ]),
    examples: examplesOf(command),
  };
}

function argumentsOf(command: Command): string[] {
  return command.registeredArguments.map((one) => {
    const name = `${one.name()}${one.variadic ? '...' : ''}`;
    return one.required ? `<${name}>` : `[${name}]`;
  });
}
