// The command line: one program, a command for each thing to do. Exit 0 done, 1 failed, 2 wrong usage (diff: 0 same,
// 1 differs, 2 error). Data goes to stdout, everything else to stderr.
import { EXIT_USAGE, fail } from './failure.js';
import { buildProgram } from './program.js';

async function main(): Promise<void> {
  const program = buildProgram();
  try {
    await program.parseAsync();
  } catch (error) {
    const code = fail(error);
    process.exitCode = program.args[0] === 'diff' && code !== 0 ? EXIT_USAGE : code;
  }
}

// A closed pipe (headgate ... | head) is not worth a stack trace.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

await main();
