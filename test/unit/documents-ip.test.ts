import { describe, expect, test } from 'vitest';
import {
  explainRange,
  formatAddress,
  formatRange,
  linkLocalOf,
  mergeRanges,
  parseAddress,
  parseInterfaceAddress,
  parseRange,
} from '../../src/documents/ip.js';

describe('addresses', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['fe80::', 'fe80::'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['1::2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['1:2:3:4:5:6:10.0.0.1', '1:2:3:4:5:6:a00:1'],
  ])('%s is written %s', (text, canonical) => {
    const address = parseAddress(text);
    expect(address && formatAddress(address)).toBe(canonical);
  });

  test.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.01',
    '10.0.0.1.1',
    '0x0a.0.0.1',
    ' 10.0.0.1',
    '10.0.0.1/8',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '10.0.0.1::',
    '::10.0.0.1:1',
  ])('"%s" is no address', (text) => expect(parseAddress(text)).toBeUndefined());

  test('an interface address keeps its host bits', () => {
    expect(parseInterfaceAddress('10.0.1.2/24')).toEqual({ address: parseAddress('10.0.1.2'), prefix: 24 });
    for (const wrong of ['10.0.1.2', '10.0.1.2/33', '10.0.1.2/', '10.0.1.2/024', '::1/129', '/24']) {
      expect(parseInterfaceAddress(wrong)).toBeUndefined();
    }
  });

  test('a MAC makes the link-local address of RFC 4291, appendix A', () => {
    expect(formatAddress(linkLocalOf('34:56:78:9a:bc:de'))).toBe('fe80::3656:78ff:fe9a:bcde');
  });
});

describe('ranges', () => {
  test.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', '::/0'],
    ['10.0.0.7', '10.0.0.7'],
    ['10.0.0.7/32', '10.0.0.7'],
    ['10.0.0.1-10.0.0.9', '10.0.0.1-10.0.0.9'],
    ['10.0.0.4 - 10.0.0.7', '10.0.0.4/30'],
    ['2001:db8::-2001:db8::ffff', '2001:db8::/112'],
  ])('%s is written %s', (text, canonical) => {
    const range = parseRange(text);
    expect(range && formatRange(range)).toBe(canonical);
  });

  test.each([
    ['10.0.0.1/24', 'write 10.0.0.0/24 for the network or 10.0.0.1 for the one address'],
    ['10.0.0.0/33', 'not a CIDR'],
    ['10.0.0.9-10.0.0.1', 'swap'],
    ['10.0.0.1-::1', 'mixes IPv4 and IPv6'],
    ['ten', 'not an address, a CIDR or a range'],
  ])('%s: %s', (text, words) =>
    expect(explainRange(text)).toEqual({ wrong: expect.stringContaining(words) as string }),
  );

  test('merging joins what overlaps or touches, family by family', () => {
    const merged = mergeRanges(
      ['10.0.0.4-10.0.0.9', '::1', '10.0.0.0/30', '10.0.0.8', '10.0.0.11', '::2', '0.0.0.0-0.0.0.1'].flatMap(
        (t) => parseRange(t) ?? [],
      ),
    );
    expect(merged.map(formatRange)).toEqual(['0.0.0.0/31', '10.0.0.0-10.0.0.9', '10.0.0.11', '::1-::2']);
  });
});
