// version: of this program and of the processes that run.
import { type Command } from 'commander';
import type { StatusResult } from '../../control/api.js';
import { VERSION } from '../../shared/version.js';
import { ApiClient } from '../client.js';
import { examples, runDirOption } from '../options.js';
import { outputOption, print, type Column, type Format } from '../output.js';

interface Row {
  part: string;
  version: string;
}

export function registerVersion(program: Command): void {
  examples(
    program
      .command('version')
      .description('show the version of this program and of what runs')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(version),
    [['headgate version -o json', 'for a program']],
  );
}

async function version({ runDir, output }: { runDir: string; output: Format }): Promise<void> {
  const status = await new ApiClient(runDir).get<StatusResult>('/v1/status').catch(() => undefined);
  const rows: Row[] = [
    { part: 'command', version: VERSION },
    { part: 'control', version: status?.version ?? 'not running' },
    { part: 'engine', version: status?.engine?.version ?? 'not running' },
    { part: 'node', version: process.versions.node },
  ];
  const columns: Column<Row>[] = [
    { title: 'PART', value: ({ part }) => part },
    { title: 'VERSION', value: ({ version }) => version },
  ];
  print(output, rows, columns, Object.fromEntries(rows.map(({ part, version }) => [part, version])));
}
