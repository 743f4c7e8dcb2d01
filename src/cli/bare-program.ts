// The program without its commands: what all of them share.
import { Command } from 'commander';
import { VERSION } from '../shared/version.js';

export function bareProgram(): Command {
  return (
    new Command('headgate')
      .description('A stateful distributed firewall in user space for VMs and containers.')
      .version(VERSION, '-V, --version', 'print the version')
      .showHelpAfterError('(headgate COMMAND --help shows how it is used)')
      .configureHelp({ helpWidth: Math.min(process.stdout.columns || 100, 100) })
      // Subcommands take this over, so every wrong usage is thrown and ends with exit code 2.
      .exitOverride()
  );
}
