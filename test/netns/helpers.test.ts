// FTP and TFTP through a firewall that allows their control connections alone: real clients and servers.
//
//     client (10.77.0.1: curl) ---TAP--- Headgate ---TAP--- server (10.77.0.2: file-servers.py)
//
// The default is to drop, both ways. A rule's `helper` lets the data connections through that its connections announce;
// without one the same transfers fail.
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { execIn, spawnIn } from '../../src/lab/namespaces.js';
import { Bed } from './bed.js';

const CONTENT = randomBytes(300_000);
const SUM = createHash('sha256').update(CONTENT).digest('hex');
const LARGE = 32_000_000; // more than sockets hold
const folder = mkdtempSync('/run/hg-files-');

const rules = (helpers: boolean) => [
  {
    name: 'ftp',
    services: [{ protocol: 'tcp', ports: [21] }],
    action: 'allow',
    ...(helpers && { helper: 'ftp' }),
  },
  {
    name: 'tftp',
    services: [{ protocol: 'udp', ports: [69] }],
    action: 'allow',
    ...(helpers && { helper: 'tftp' }),
  },
];

/** What of it arrived, by what curl makes of it within three seconds without data. */
async function fetched(bed: Bed, url: string, ...options: string[]): Promise<string> {
  const file = join(folder, 'got');
  const command = ['curl', '-sS', '--connect-timeout', '3', '--max-time', '6', '-o', file, ...options, url];
  try {
    await execIn(bed.netns('client'), command);
    return (await execIn(undefined, ['sha256sum', file])).slice(0, 64) === SUM ? 'whole' : 'damaged';
  } catch (error) {
    return `failed: ${(error as { code?: number }).code}`;
  } finally {
    rmSync(file, { force: true });
  }
}

// An active connection is announced with the client's own address: `-`.
const WAYS: [name: string, scheme: string, host: (bed: Bed) => string, options: string[]][] = [
  ['passive (PASV)', 'ftp', (bed) => bed.ipv4('server'), ['--disable-epsv']],
  ['extended passive (EPSV)', 'ftp', (bed) => bed.ipv4('server'), []],
  ['active (PORT)', 'ftp', (bed) => bed.ipv4('server'), ['--ftp-port', '-', '--disable-eprt']],
  ['extended active (EPRT)', 'ftp', (bed) => bed.ipv4('server'), ['--ftp-port', '-']],
  ['IPv6 passive (EPSV)', 'ftp', (bed) => `[${bed.ipv6('server')}]`, []],
  ['IPv6 active (EPRT)', 'ftp', (bed) => `[${bed.ipv6('server')}]`, ['--ftp-port', '-']],
  ['TFTP', 'tftp', (bed) => bed.ipv4('server'), []],
  ['TFTP over IPv6', 'tftp', (bed) => `[${bed.ipv6('server')}]`, []],
];

describe.each([1, 2])('with %i workers', (workers) => {
  let bed: Bed;
  beforeAll(async () => {
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, 'file'), CONTENT, { mode: 0o644 });
    writeFileSync(join(folder, 'large'), Buffer.alloc(LARGE), { mode: 0o644 });
    bed = await Bed.start({ workloads: ['client', 'server'], rules: rules(true), host: { workers } });
    const servers = spawnIn(bed.netns('server'), [
      '/usr/bin/python3',
      join(import.meta.dirname, 'file-servers.py'),
      folder,
    ]);
    await once(servers.stdout as NodeJS.EventEmitter, 'data');
  }, 60_000);
  afterAll(() => bed?.stop());

  test.each(WAYS)('%s', async (_, scheme, host, options) => {
    await bed.applyRules(rules(true));
    expect(await fetched(bed, `${scheme}://${host(bed)}/file`, ...options)).toBe('whole');
  });

  test.each(WAYS)('negative control, no helper: %s fails', async (_, scheme, host, options) => {
    await bed.applyRules(rules(false));
    expect(await fetched(bed, `${scheme}://${host(bed)}/file`, ...options)).toMatch(/^failed/);
  });

  test('nobody but the announced port is let in', async () => {
    await bed.applyRules(rules(true));
    await bed.agent('server').listen({ tcp: [5000] });
    expect(await fetched(bed, `ftp://${bed.ipv4('server')}/file`)).toBe('whole');
    expect(await bed.agent('client').tcp(bed.ipv4('server'), 5000, 1000)).toMatchObject({
      outcome: 'silent',
    });
  });

  test('a transfer on its way ends with the rule that its control connection had', async () => {
    await bed.applyRules(rules(true));
    const slow = ['--limit-rate', '200k', '--max-time', '20', '--speed-time', '2', '--speed-limit', '100'];
    const transfer = fetched(bed, `ftp://${bed.ipv4('server')}/large`, ...slow);
    const isThere = async () =>
      (await bed.flows()).flows.some(
        ({ destinationPort, state }) => destinationPort > 1024 && state === 'established',
      );
    await expect.poll(isThere, { timeout: 10_000 }).toBe(true);
    await bed.applyRules([]);
    expect(await transfer).toMatch(/^failed/);
  }, 30_000);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));
