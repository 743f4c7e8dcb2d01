// The tree of commands: what the command line runs, and what its reference, man pages and completion are made from.
import { Command } from 'commander';
import { registerLab } from '../lab/lab.js';
import { VERSION } from '../shared/version.js';
import { registerCapture } from './commands/capture.js';
import { registerChange } from './commands/change.js';
import { registerCompletion } from './commands/completion.js';
import { registerDaemons } from './commands/daemon.js';
import { registerDoctor } from './commands/doctor.js';
import { registerEvents } from './commands/events.js';
import { registerExplain } from './commands/explain.js';
import { registerFlows } from './commands/flows.js';
import { registerGet } from './commands/get.js';
import { registerPromote } from './commands/promote.js';
import { registerStats } from './commands/stats.js';
import { registerTop } from './commands/top.js';
import { registerTrace } from './commands/trace.js';
import { registerUpgrade } from './commands/upgrade.js';
import { registerVersion } from './commands/version.js';

export function buildProgram(): Command {
  const program = new Command('headgate')
    .description('A stateful distributed firewall in user space for VMs and containers.')
    .version(VERSION, '-V, --version', 'print the version')
    .showHelpAfterError('(headgate COMMAND --help shows how it is used)')
    .configureHelp({ helpWidth: Math.min(process.stdout.columns || 100, 100) })
    // Subcommands take this over, so every wrong usage is thrown and ends with exit code 2.
    .exitOverride();
  registerDaemons(program);
  registerChange(program);
  registerPromote(program);
  registerGet(program);
  registerExplain(program);
  registerTrace(program);
  registerCapture(program);
  registerFlows(program);
  registerStats(program);
  registerTop(program);
  registerEvents(program);
  registerDoctor(program);
  registerLab(program);
  registerCompletion(program);
  registerUpgrade(program);
  registerVersion(program);
  return program;
}
