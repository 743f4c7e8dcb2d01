// What may stand at the end of a command line that is being written: words of the tree of commands, and names that the
// running control knows. Without a control there are fewer candidates, never an error.
import type { Argument, Command, Option } from 'commander';
import { names } from './names.js';

export interface Candidate {
  word: string;
  description?: string;
}

/** `files`: the shell completes the name of a file by itself. */
export type Candidates = Candidate[] | 'files';

/** What the words before the last one lead to. */
interface Place {
  command: Command;
  /** Its arguments so far. */
  given: string[];
  /** The option whose value comes next. */
  option?: Option;
  runDir?: string;
}

/** `words`: those behind `headgate`; the last one is completed and may be empty. */
export async function candidates(program: Command, words: readonly string[]): Promise<Candidates> {
  const last = words.at(-1) ?? '';
  const place = walk(program, words.slice(0, -1));
  const found = await offered(place, last);
  return found === 'files' ? found : found.filter(({ word }) => word.startsWith(last));
}

function walk(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, given: [] };
  for (const word of words) {
    const { option } = place;
    if (option !== undefined && !word.startsWith('-')) {
      if (option.long === '--run-dir') place.runDir = word;
      if (!option.variadic) delete place.option;
      continue;
    }
    delete place.option;
    if (word.startsWith('-')) {
      const known = optionsOf(place.command).find(({ short, long }) => word === short || word === long);
      if (known !== undefined && (known.required || known.optional)) place.option = known;
      if (word.startsWith('--run-dir=')) place.runDir = word.slice('--run-dir='.length);
      continue;
    }
    const below = subcommands(place.command).find((one) => one.name() === word);
    if (below !== undefined) place.command = below;
    else place.given.push(word);
  }
  return place;
}

async function offered({ command, given, option, runDir }: Place, last: string): Promise<Candidates> {
  if (option !== undefined && !(option.variadic && last.startsWith('-'))) {
    return valuesOf(option.argChoices, valueName(option), [], runDir);
  }
  if (last.startsWith('-')) {
    return optionsOf(command).map(({ long, short, description }) => ({
      word: long ?? short ?? '',
      description,
    }));
  }
  const below = subcommands(command);
  if (below.length > 0) {
    return below.map((one) => ({ word: one.name(), description: one.description() }));
  }
  const argument = argumentAt(command, given.length);
  return argument === undefined ? [] : valuesOf(argument.argChoices, argument.name(), given, runDir);
}

function subcommands(command: Command): Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => command.commands.includes(one));
}

function optionsOf(command: Command): Option[] {
  return command.createHelp().visibleOptions(command);
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const all = command.registeredArguments;
  const last = all.at(-1);
  return all[index] ?? (last?.variadic ? last : undefined);
}

/** `path` of `-f, --filename <path...>`. */
function valueName({ flags }: Option): string {
  return /[<[]([^>\].]+)/.exec(flags)?.[1] ?? '';
}

const FILES = ['path', 'file', 'dir'];

async function valuesOf(
  choices: string[] | undefined,
  name: string,
  given: string[],
  runDir: string | undefined,
): Promise<Candidates> {
  if (choices !== undefined) return choices.map((word) => ({ word }));
  if (FILES.includes(name)) return 'files';
  return (await names(name, given, runDir)).map((word) => ({ word }));
}
