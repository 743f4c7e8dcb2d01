// completion: the script for a shell; and the hidden command that this script asks.
import { Argument, type Command } from 'commander';
import type { Candidate } from '../completion/candidates.js';
import { FILES_LINE, SCRIPTS, SHELLS, type Shell } from '../completion/scripts.js';
import { examples } from '../options.js';
import { out } from '../output.js';

export function registerCompletion(program: Command): void {
  examples(
    program
      .command('completion')
      .description('print the script by which a shell completes commands, options and names')
      .addArgument(new Argument('<shell>', 'the shell').choices([...SHELLS]))
      .action((shell: Shell) => out(SCRIPTS[shell])),
    [
      ['source <(headgate completion bash)', 'in this bash; the Debian package installs it for all'],
      ['source <(headgate completion zsh)', 'in this zsh, after compinit'],
      ['headgate completion fish | source', 'in this fish'],
    ],
  );
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action((words: string[]) => complete(program, words));
}

async function complete(program: Command, words: string[]): Promise<void> {
  const { candidates } = await import('../completion/candidates.js');
  const found = await candidates(program, words);
  out(found === 'files' ? `${FILES_LINE}\n` : found.map(lineOf).join(''));
  // A control that does not answer must not keep the shell waiting.
  process.exit(0);
}

function lineOf({ word, description }: Candidate): string {
  return `${word}${description === undefined ? '' : `\t${description}`}\n`;
}
