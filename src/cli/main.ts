// The command line: one program, a command for each thing to do. Exit 0 done, 1 failed, 2 wrong usage (diff: 0 same,
// 1 differs, 2 error). Data goes to stdout, everything else to stderr.
import type { Command } from 'commander';
import { bareProgram } from './bare-program.js';
import { DAEMONS, registerDaemons } from './commands/daemon.js';
import { EXIT_USAGE, fail } from './failure.js';

async function main(): Promise<void> {
  const program = await programFor(process.argv[2]);
  try {
    await program.parseAsync();
  } catch (error) {
    const code = fail(error);
    process.exitCode = program.args[0] === 'diff' && code !== 0 ? EXIT_USAGE : code;
  }
}

/** Packets may wait for a daemon: its start does not wait for the modules of all the other commands. */
async function programFor(command = ''): Promise<Command> {
  if (!DAEMONS.includes(command)) return (await import('./program.js')).buildProgram();
  const program = bareProgram();
  registerDaemons(program);
  return program;
}

// A closed pipe (headgate ... | head) is not worth a stack trace.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

await main();
