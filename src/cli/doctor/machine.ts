// The machine as the checks see it: files below a root (a test's folder, or /), and programs that are run.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statfsSync, statSync, type Stats } from 'node:fs';

export interface Machine {
  /** Undefined: it is not there, or may not be read. */
  read(path: string): string | undefined;
  list(path: string): string[] | undefined;
  status(path: string): Stats | undefined;
  /** The share of a file system that is in use, and its size in bytes. */
  filled(path: string): { share: number; size: number } | undefined;
  /** What a program prints; undefined when it is not there or fails. */
  run(program: string, ...args: string[]): string | undefined;
}

export function machineAt(root = '', run: Machine['run'] = runProgram): Machine {
  return {
    read: (path) => attempt(() => readFileSync(root + path, 'utf8')),
    list: (path) => attempt(() => readdirSync(root + path)),
    status: (path) => attempt(() => statSync(root + path)),
    filled: (path) =>
      attempt(() => {
        const { blocks, bavail, bsize } = statfsSync(root + path);
        return { share: blocks === 0 ? 0 : 1 - bavail / blocks, size: blocks * bsize };
      }),
    run,
  };
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function runProgram(program: string, ...args: string[]): string | undefined {
  return attempt(() =>
    execFileSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 10_000,
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
    }),
  );
}

/** A field of /proc/PID/status. */
export function processField(machine: Machine, pid: number, name: string): string | undefined {
  const lines = machine.read(`/proc/${pid}/status`)?.split('\n');
  return lines
    ?.find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1)
    .trim();
}

export interface Link {
  ifname: string;
  mtu: number;
  flags: string[];
  linkinfo?: { info_kind?: string; info_data?: { type?: string; persist?: boolean; vnet_hdr?: boolean } };
}

/** The devices of a namespace, by the path of its file; undefined when they cannot be seen. */
export function linksIn(machine: Machine, namespace: string): Link[] | undefined {
  const printed = machine.run(
    'nsenter',
    `--net=${namespace}`,
    '--',
    'ip',
    '-json',
    '-details',
    'link',
    'show',
  );
  return printed === undefined ? undefined : (JSON.parse(printed || '[]') as Link[]);
}
