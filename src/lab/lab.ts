// `headgate lab`: the namespaces of a folder of documents, Headgate on them, and real traffic between every pair.
import type { Command } from 'commander';
import { examples, runDirOption } from '../cli/options.js';
import { outputOption, type Format } from '../cli/output.js';
import type { LabOptions } from './commands.js';

/** Adds the `lab` commands to the program. */
export function registerLab(program: Command): void {
  const lab = program
    .command('lab')
    .description('try a policy with real traffic between network namespaces (as root)');
  const folder = '-f, --filename <dir>';

  const upCommand = lab
    .command('up')
    .description('make the namespaces that the documents name, and run Headgate on them')
    .requiredOption(folder, 'folder with the documents')
    .addOption(runDirOption())
    .action(async (options: LabOptions) => (await import('./commands.js')).up(options));
  examples(upCommand, [['headgate lab up -f examples/three-tier', 'six namespaces behind one firewall']]);

  const checkCommand = lab
    .command('check')
    .description(
      'try every pair by TCP, UDP and ICMP, IPv4 and IPv6; fails where reality is not what the policy says',
    )
    .requiredOption(folder, 'folder with the documents')
    .addOption(runDirOption())
    .addOption(outputOption())
    .action(async (options: LabOptions & { output: Format }) =>
      (await import('./commands.js')).checkLab(options),
    );
  examples(checkCommand, [
    ['headgate lab check -f examples/three-tier', 'the table who could reach whom and why'],
    ['headgate lab check -f DIR -o json', 'the same for a program'],
  ]);

  const downCommand = lab
    .command('down')
    .description('stop the Headgate of the lab and remove its namespaces')
    .option(folder, 'folder with the documents (not needed: what was made is remembered)')
    .addOption(runDirOption())
    .action(async (options: LabOptions) => (await import('./commands.js')).down(options));
  examples(downCommand, [['headgate lab down -f examples/three-tier', 'leaves nothing behind']]);
}
