import { describe, expect, it } from 'vitest';
import type { Attach } from '../../src/engine/messages.js';
import { checkPermits, matchesGlob, namespacePath, refusal } from '../../src/engine/permits.js';

const tap = (netns: string | undefined, device = 'eth0'): Attach => ({
  kind: 'tap',
  ...(netns === undefined ? {} : { netns }),
  device,
  mac: '02:00:00:00:00:01',
  addresses: [],
  gateways: [],
});

describe('globs', () => {
  it.each([
    ['hg-*', 'hg-web', true],
    ['hg-*', 'hg-', true],
    ['hg-*', 'xhg-web', false],
    ['*', 'anything', true],
    ['*', 'a/b', false],
    ['a*c*e', 'abcde', true],
    ['a*c*e', 'abcd', false],
    ['ve?h0', 'veth0', true],
    ['ve?h0', 've/h0', false],
    ['/proc/*/ns/net', '/proc/12/ns/net', true],
    ['/proc/*/ns/net', '/proc/1/task/ns/net', false],
    ['[ab]', 'a', false],
    ['', '', true],
    ['', 'a', false],
  ])('%s against %s: %s', (glob, text, matches) => {
    expect(matchesGlob(glob, text)).toBe(matches);
  });

  it('does not take long for many stars', () => {
    expect(matchesGlob('*a'.repeat(60), 'a'.repeat(59))).toBe(false);
  });
});

describe('namespaces', () => {
  it('are names below /run/netns or plain absolute paths', () => {
    expect(namespacePath('web')).toBe('/run/netns/web');
    expect(namespacePath('/proc/12/ns/net')).toBe('/proc/12/ns/net');
    expect(namespacePath(undefined)).toBeUndefined();
  });

  it.each(['..', '.', 'a/b', '../1', '/run/netns/../../proc/1/ns/net', '/run//netns/a', '/', 'a\0b', ''])(
    'refuses %j',
    (netns) => {
      expect(() => namespacePath(netns)).toThrow(/neither/);
    },
  );
});

describe('permits', () => {
  const permits = { namespaces: ['hg-*', '/proc/*/ns/net'], interfaces: ['veth-*'] };

  it.each([
    ['a tap in a permitted namespace', tap('hg-web')],
    ['the same namespace by its path', tap('/run/netns/hg-web')],
    ['a namespace by a permitted path', tap('/proc/12/ns/net')],
    ['a permitted interface', { kind: 'veth', device: 'veth-1' } satisfies Attach],
  ])('lets pass %s', (_name, attach) => {
    expect(refusal(permits, attach)).toBeUndefined();
  });

  it.each([
    ['a tap in another namespace', tap('other'), /matches none of attach.namespaces/],
    ['the own namespace without self', tap(undefined), /does not say self/],
    [
      'another interface',
      { kind: 'nic', device: 'eth0' } satisfies Attach,
      /matches none of attach.interfaces/,
    ],
    ['a device that is no name', tap('hg-web', 'a/b'), /not the name of an interface/],
    ['a device called ..', { kind: 'nic', device: '..' } satisfies Attach, /not the name of an interface/],
  ])('refuses %s', (_name, attach, why) => {
    expect(refusal(permits, attach)).toMatch(why);
  });

  it('gives the own namespace to the word self only', () => {
    expect(refusal({ namespaces: ['*'], interfaces: [] }, tap(undefined))).toMatch(/does not say self/);
    expect(refusal({ namespaces: ['self'], interfaces: [] }, tap(undefined))).toBeUndefined();
  });

  it('refuses a delta whole and says how to mend it', () => {
    const setWorkloads = [tap('hg-web'), tap('other'), tap('..')].map((attach, i) => ({
      name: `w${i}`,
      digest: 'd',
      segment: 's',
      attach,
    }));
    expect(() => checkPermits(permits, { setWorkloads }, '/etc/headgate/headgate.yaml')).toThrow(
      expect.objectContaining({
        code: 'not-permitted',
        remedy: expect.stringContaining('/etc/headgate/headgate.yaml') as string,
        details: [
          expect.stringContaining('workload w1') as string,
          expect.stringContaining('workload w2') as string,
        ],
      }),
    );
    expect(() => checkPermits(permits, { setWorkloads: setWorkloads.slice(0, 1) }, 'x')).not.toThrow();
  });
});
