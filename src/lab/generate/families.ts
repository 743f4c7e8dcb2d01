// What rule sets of three families look like, in numbers: what access lists (acl), firewalls (fw) and Linux's
// packet filters (ipc) of the ClassBench form have in common. Weights are relative to each other in a list.
import type { Weighted } from './random.js';
import type { Masked } from './tuple.js';

export const FAMILIES = ['acl', 'fw', 'ipc'] as const;
export type FamilyName = (typeof FAMILIES)[number];

export type PortClass = 'any' | 'one' | 'high' | 'range';

/** One end of a rule: its prefixes. */
export interface EndStatistics {
  /** Prefix lengths in each of the five classes of `lengths`. */
  lengths: readonly Weighted<number>[];
  /** How often a prefix is one that an earlier rule has. */
  reuse: number;
  /** How often a new address is far from all earlier ones; else it shares 16 to 28 bits with one. */
  far: number;
  /** Single ports. */
  ports: Weighted<number>;
  portRanges: Weighted<readonly [number, number]>;
}

export interface Family {
  /** Rows: class of the source's length (0-2, 3-13, 14-20, 21-27, 28-32); columns: the destination's. */
  lengths: readonly (readonly number[])[];
  source: EndStatistics;
  destination: EndStatistics;
  /** Protocol (absent: any), class of source ports, class of destination ports. */
  services: Weighted<readonly [number | undefined, PortClass, PortClass]>;
  tcpFlags: Weighted<Masked>;
}

/** `10 8 / 3 0` as rows of numbers. */
function rows(text: string): number[][] {
  return text.split(' / ').map((row) => row.split(' ').map(Number));
}

/** `1:68 2:29` as weighted numbers. */
function list(text: string): Weighted<number> {
  return text
    .split(' ')
    .filter(Boolean)
    .map((one) => one.split(':').map(Number) as [number, number]);
}

/** `20-21:3` as weighted ranges. */
function ranges(text: string): Weighted<readonly [number, number]> {
  return text
    .split(' ')
    .filter(Boolean)
    .map((one) => {
      const [first = 0, last = 0, weight = 0] = one.split(/[-:]/).map(Number);
      return [[first, last], weight];
    });
}

/** `tcp any one:393` lines. */
function services(...lines: string[]): Family['services'] {
  const numbers: Record<string, number | undefined> = { tcp: 6, udp: 17, icmp: 1, gre: 47, esp: 50, ah: 51 };
  return lines.map((line) => {
    const [protocol = '', from, to, weight] = line.split(/[ :]/);
    return [[numbers[protocol], from as PortClass, to as PortClass], Number(weight)];
  });
}

/** `200/1200:542` as weighted values under masks, in hexadecimal digits. */
function flags(text: string): Weighted<Masked> {
  return text.split(' ').map((one) => {
    const [value = '', mask = '', weight = ''] = one.split(/[/:]/);
    return [{ value: parseInt(value, 16), mask: parseInt(mask, 16) }, Number(weight)];
  });
}

export const families: Record<FamilyName, Family> = {
  acl: {
    lengths: rows('10 8 9 26 18 / 3 0 1 24 34 / 6 1 1 19 61 / 13 43 43 24 78 / 21 20 38 118 382'),
    source: {
      lengths: [
        list('0:68 1:29 2:3'),
        list('6:1 7:5 8:7 9:3 10:3 11:16 12:35 13:31'),
        list('14:4 15:19 16:42 17:28 18:3 20:2'),
        list('21:2 22:9 23:31 24:36 25:17 26:4 27:1'),
        list('29:1 30:5 31:29 32:64'),
      ],
      reuse: 0.45,
      far: 0.12,
      ports: list(''),
      portRanges: ranges(''),
    },
    destination: {
      lengths: [
        list('0:64 1:31 2:6'),
        list('3:2 4:2 5:2 6:2 7:5 8:6 9:3 10:5 11:28 12:29 13:15'),
        list('14:4 15:21 16:40 17:28 18:3 19:1 20:3'),
        list('21:6 22:19 23:23 24:26 25:20 26:4 27:2'),
        list('28:1 29:1 30:5 31:27 32:66'),
      ],
      reuse: 0.55,
      far: 0.15,
      ports: list(
        '1521:132 25:49 80:42 1526:40 135:40 1221:29 1433:26 21:23 20:23 1525:23 14753:20 1711:18 23:18 8080:17 1724:17 1704:17 1717:16 1708:16 138:16 1712:15 1705:15 1733:15 6000:15 137:15 139:14 5555:14 1707:14 5540:14 5729:13 161:12 1490:11 5632:11 5541:11 1734:10 5631:10 1706:10 443:10 53:9 1489:9 6789:9',
      ),
      portRanges: ranges(
        '1600-1649:92 1300-1349:69 1300-1350:68 7500-7599:60 32200-32207:45 2200-2210:41 1700-1750:39 62600-62609:37 5001-65535:36 8000-8100:35 61800-61809:29 20000-20010:29 62700-62709:27 61600-61609:26',
      ),
    },
    services: services(
      'tcp any one:393',
      'any any any:271',
      'tcp any any:182',
      'tcp any range:55',
      'tcp any high:33',
      'udp any one:30',
      'icmp any any:21',
      'udp any high:7',
      'udp any any:4',
      'udp any range:1',
    ),
    tcpFlags: flags('0/0:553 0/200:56 1000/1000:55'),
  },
  fw: {
    lengths: rows('37 0 0 3 631 / 11 0 0 0 0 / 16 0 0 0 1 / 43 0 0 1 9 / 185 0 4 20 39'),
    source: {
      lengths: [
        list('0:64 1:31 2:5'),
        list('6:2 7:20 8:21 9:7 10:1 11:21 12:16 13:11'),
        list('14:2 15:14 16:12 17:8 18:1 19:9 20:55'),
        list('21:19 22:20 23:17 24:11 25:8 26:9 27:16'),
        list('28:4 29:3 30:10 31:35 32:47'),
      ],
      reuse: 0.04,
      far: 0.8,
      ports: list('53:280 123:239 750:146 88:87 161:75 69:43 7007:38 67:29 24032:27 7648:23 162:14'),
      portRanges: ranges('33434-33600:1'),
    },
    destination: {
      lengths: [
        list('0:63 1:33 2:4'),
        list('8:1 12:1'),
        list('19:7 20:93'),
        list('21:37 22:37 23:5 25:1 26:6 27:15'),
        list('28:1 29:1 30:9 31:41 32:48'),
      ],
      reuse: 0.02,
      far: 0.9,
      ports: list(
        '22:119 53:107 80:94 25:75 123:65 443:64 750:34 544:32 2105:31 21:24 88:23 1999:20 110:18 161:18 37:16 79:14 754:14 67:14 5999:11 23:10 9001:10 749:10 119:10 7007:9 7000:9 9091:9 7648:9 9000:9 69:8 9090:8 9002:8 6667:8 138:8 137:8 139:8 7326:7 13:6 113:6 179:6 464:4',
      ),
      portRanges: ranges('33434-33600:1'),
    },
    services: services(
      'tcp any one:471',
      'udp any one:161',
      'udp one any:129',
      'tcp any any:62',
      'icmp any any:41',
      'tcp high high:40',
      'gre any any:24',
      'udp one high:17',
      'udp high one:16',
      'udp one one:13',
      'any any any:12',
      'udp high high:11',
      'udp range high:1',
      'udp high range:1',
    ),
    tcpFlags: flags('200/1200:542 0/0:12 1000/1000:5 400/400:5 0/200:4 100/100:4'),
  },
  ipc: {
    lengths: rows('4 0 6 50 70 / 0 0 0 0 0 / 8 0 14 40 22 / 54 0 57 219 164 / 26 0 19 91 154'),
    source: {
      lengths: [
        list('0:59 1:38 2:3'),
        list('8:1 12:1'),
        list('14:3 15:17 16:40 17:30 18:9 20:1'),
        list('21:2 22:11 23:28 24:28 25:18 26:8 27:4'),
        list('28:6 29:3 30:5 31:28 32:59'),
      ],
      reuse: 0.8,
      far: 0.08,
      ports: list(
        '161:262 53:132 80:88 25:86 1433:65 143:39 22:37 5550:35 5540:33 5520:30 5530:21 5631:21 5500:19 69:19 5632:19 5510:17 500:17 123:10 1098:9 6789:7 135:6 138:6 137:5 1723:4 20:4 443:4 23:4',
      ),
      portRanges: ranges('109-110:341 20-23:266 20-21:237 1645-1646:133 5000-5001:23'),
    },
    destination: {
      lengths: [
        list('0:66 1:32 2:2'),
        list('8:1 12:1'),
        list('14:2 15:26 16:46 17:24 18:2'),
        list('21:1 22:4 23:18 24:31 25:25 26:14 27:7'),
        list('28:5 29:3 30:4 31:27 32:61'),
      ],
      reuse: 0.65,
      far: 0.08,
      ports: list(
        '69:192 514:177 80:118 9003:82 53:71 25:47 1433:31 137:28 162:22 113:18 143:18 161:16 22:16 119:13 139:12 5540:10 1645:9 500:8 1723:8 5631:7 1646:7 32774:6 5510:6 6346:6 524:6 7000:5 6970:5 5520:5 5530:5 1214:5 8875:4 7777:4 5550:4 135:4 2549:3 5500:3 6699:3 21:3 123:3 110:2',
      ),
      portRanges: ranges(
        '109-110:269 20-23:231 20-21:226 1645-1646:158 1812-1813:90 5000-5001:13 20-2511:13',
      ),
    },
    services: services(
      'any any any:328',
      'udp any one:218',
      'tcp any one:139',
      'udp one any:85',
      'tcp one any:80',
      'udp any high:60',
      'tcp any any:22',
      'tcp any range:18',
      'tcp range any:15',
      'icmp any any:11',
      'udp any range:6',
      'udp one one:3',
      'udp range any:3',
      'udp high any:3',
      'gre any any:3',
      'udp any any:2',
      'ah any any:1',
      'esp any any:1',
      'tcp one range:1',
    ),
    tcpFlags: flags('0/0:159 0/200:116'),
  },
};
