// What Headgate needs of the kernel.
import { mend, ok, unknown, type Result } from './result.js';
import type { Machine } from './machine.js';

const FEATURES = [
  ['/dev/net/tun', 'TAP devices', 'As root: modprobe tun (in a container: --device /dev/net/tun)'],
  ['/proc/net/packet', 'packet sockets', 'As root: modprobe af_packet'],
  ['/proc/self/ns/net', 'network namespaces', 'Boot a kernel that has CONFIG_NET_NS'],
  ['/dev/shm', 'shared memory for pools', 'As root: mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm'],
] as const;

export function checkKernel({ machine }: { machine: Machine }): Result[] {
  const missing = FEATURES.filter(([path]) => machine.status(path) === undefined);
  if (missing.length > 0) {
    return missing.map(([path, what, remedy]) =>
      mend('kernel', `There are no ${what}: ${path} is not there.`, remedy),
    );
  }
  const release = machine.read('/proc/sys/kernel/osrelease')?.trim();
  if (release === undefined) return [unknown('kernel', 'The release of the kernel cannot be read.')];
  const [major = 0, minor = 0] = release.split('.').map(Number);
  const old = major < 6 || (major === 6 && minor < 2);
  const uso = old ? '; UDP super-frames through TAPs (faster) come with Linux 6.2' : '';
  return [ok('kernel', `Linux ${release} has TAP devices, packet sockets and namespaces${uso}.`)];
}

const NEEDED = ['sse4_2', 'popcnt'];

/** On x86-64 the packet path is compiled for x86-64-v2. */
export function checkProcessor(
  { machine }: { machine: Machine },
  architecture: string = process.arch,
): Result[] {
  if (architecture !== 'x64') return [ok('processor', `${architecture}: nothing more is needed.`)];
  const flags = /^flags\s*:(.*)$/m.exec(machine.read('/proc/cpuinfo') ?? '')?.[1]?.split(' ');
  if (flags === undefined)
    return [unknown('processor', '/proc/cpuinfo does not say what the processor has.')];
  const missing = NEEDED.filter((one) => !flags.includes(one));
  if (missing.length === 0) return [ok('processor', `It has ${NEEDED.join(' and ')}.`)];
  const remedy = 'Use a processor from 2009 or later; for a VM choose its CPU model host or x86-64-v2.';
  return [mend('processor', `It lacks ${missing.join(' and ')}, which the packet path uses.`, remedy)];
}
