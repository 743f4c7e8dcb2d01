// The command line: one program, a command for each thing to do. Exit 0 done, 1 failed, 2 wrong usage (diff: 0 same,
// 1 differs, 2 error). Data goes to stdout, everything else to stderr.
import { Command } from 'commander';
import { registerLab } from '../lab/lab.js';
import { VERSION } from '../shared/version.js';
import { registerChange } from './commands/change.js';
import { registerDaemons } from './commands/daemon.js';
import { registerExplain } from './commands/explain.js';
import { registerFlows } from './commands/flows.js';
import { registerGet } from './commands/get.js';
import { registerStats } from './commands/stats.js';
import { registerVersion } from './commands/version.js';
import { EXIT_USAGE, fail } from './failure.js';

function build(): Command {
  const program = new Command('headgate')
    .description('A stateful distributed firewall in user space for VMs and containers.')
    .version(VERSION, '-V, --version', 'print the version')
    .showHelpAfterError('(headgate COMMAND --help shows how it is used)')
    .configureHelp({ helpWidth: Math.min(process.stdout.columns || 100, 100) })
    // Subcommands take this over, so every wrong usage is thrown and ends with exit code 2.
    .exitOverride();
  registerDaemons(program);
  registerChange(program);
  registerGet(program);
  registerExplain(program);
  registerFlows(program);
  registerStats(program);
  registerLab(program);
  registerVersion(program);
  return program;
}

async function main(): Promise<void> {
  const program = build();
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
