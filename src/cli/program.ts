// The tree of commands: what the command line runs, and what its reference, man pages and completion are made from.
import type { Command } from 'commander';
import { registerLab } from '../lab/lab.js';
import { bareProgram } from './bare-program.js';
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
  const program = bareProgram();
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
