// run, engine, control: the processes that stay.
import { type Command } from 'commander';
import { fileURLToPath } from 'node:url';
import type { LogLevel } from '../../observe/levels.js';
import { resolve } from 'node:path';
import { configOption, examples, logLevelOption, runDirOption, stateDirOption } from '../options.js';
import { groupNumber } from '../users.js';

interface DaemonOptions {
  config: string;
  runDir: string;
  stateDir: string;
  logLevel: LogLevel;
  group?: string;
  takeOver?: boolean;
}

export const DAEMONS = ['run', 'engine', 'control'];

export function registerDaemons(program: Command): void {
  examples(
    program
      .command('run')
      .description('run Headgate: engine and control together, as root')
      .addOption(configOption())
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addOption(logLevelOption())
      .action(run),
    [
      ['headgate run', 'with /etc/headgate/headgate.yaml and conf.d beside it'],
      ['headgate run --config ./host.yaml --run-dir /run/hg --state-dir /tmp/hg', 'a second one beside it'],
    ],
  );
  examples(
    program
      .command('engine')
      .description('run the engine alone: packets, ports, tables (needs CAP_NET_ADMIN, NET_RAW, SYS_ADMIN)')
      .addOption(configOption())
      .addOption(runDirOption())
      .addOption(logLevelOption())
      .option('--group <group>', 'group that may speak to the engine: the one control runs in')
      .option('--take-over', 'follow the engine that runs; `headgate upgrade` starts this')
      .action(engine),
    [['headgate engine --group headgate', 'what a service manager starts']],
  );
  examples(
    program
      .command('control')
      .description('run control alone: documents, store, API (as an ordinary user)')
      .addOption(configOption())
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addOption(logLevelOption())
      .action(control),
    [['headgate control', 'what a service manager starts as user headgate']],
  );
}

async function run({ config, runDir, stateDir, logLevel }: DaemonOptions): Promise<void> {
  const { runBoth } = await import('../supervisor.js');
  const program = fileURLToPath(new URL('../main.js', import.meta.url));
  const { createLogger } = await import('../../observe/logger.js');
  const log = createLogger('run', logLevel);
  await runBoth({
    config: resolve(config),
    runDir: resolve(runDir),
    stateDir: resolve(stateDir),
    logLevel,
    log,
    program,
  });
}

async function engine(options: DaemonOptions): Promise<void> {
  const { config, runDir, stateDir, logLevel, group, takeOver } = options;
  const { runEngine } = await import('../../engine/main.js');
  const { createLogger } = await import('../../observe/logger.js');
  const log = createLogger('engine', logLevel);
  const paths = { config: resolve(config), runDir: resolve(runDir), stateDir };
  const args = ['engine', '--take-over', '--config', paths.config, '--run-dir', paths.runDir];
  args.push('--log-level', logLevel, ...(group === undefined ? [] : ['--group', group]));
  await runEngine({
    ...paths,
    takeOver: takeOver ?? false,
    args,
    log,
    ...(group === undefined ? {} : { group: groupNumber(group) }),
  });
  // Whatever handle is left must not keep a stopped engine alive.
  process.exit(0);
}

async function control({ config, runDir, stateDir, logLevel }: DaemonOptions): Promise<void> {
  const { runControl } = await import('../../control/main.js');
  const { createLogger } = await import('../../observe/logger.js');
  const log = createLogger('control', logLevel);
  await runControl({ config: resolve(config), runDir: resolve(runDir), stateDir: resolve(stateDir), log });
  process.exit(0);
}
