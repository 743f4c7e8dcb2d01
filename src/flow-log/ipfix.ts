// Encodes records as IPFIX messages: RFC 7011, information elements of IANA (RFC 7012), one record for both directions of
// a connection (RFC 5103). Pure: what goes where is the business of collector.ts.
//
// A template holds some elements twice: first what is true at the initiator's workload, then at the responder's, which is
// the order in which the engine judges (RFC 7011, section 8).
import { parseAddress } from '../documents/index.js';
import { FLOW_END_REASONS } from '../engine/messages.js';
import type { FlowEvent, FlowLogRecord } from './record.js';

/** RFC 5103: of the same element, but from the responder. */
const REVERSE = 29305;
const VARIABLE = 65535;
const LONGEST_STRING = 254;
const MESSAGE_HEADER = 16;
const SET_HEADER = 4;
const TEMPLATE_SET = 2;
const TEMPLATES = { 4: 256, 6: 257 } as const;
type Family = keyof typeof TEMPLATES;

interface Field {
  name: string;
  element: number;
  length: number;
  enterprise?: number;
  /** Writes the value and says where the next one goes. */
  write: (record: FlowLogRecord, to: Buffer, at: number) => number;
}

type Of<T> = (record: FlowLogRecord) => T;

function uint(length: 1 | 2, name: string, element: number, of: Of<number>): Field {
  return { name, element, length, write: (record, to, at) => to.writeUIntBE(of(record), at, length) };
}

/** Beyond 2^53 nothing is exact in JavaScript, and no count gets there. */
function uint64(name: string, element: number, of: Of<number>): Field {
  const write: Field['write'] = (record, to, at) => {
    const value = of(record);
    to.writeUInt32BE(Math.floor(value / 2 ** 32), at);
    return to.writeUInt32BE(value % 2 ** 32, at + 4);
  };
  return { name, element, length: 8, write };
}

const reverse = (field: Field): Field => ({ ...field, enterprise: REVERSE });

/** Of up to 254 bytes, which no name reaches: its length is then one byte. */
function string(name: string, element: number, of: Of<string>): Field {
  const write: Field['write'] = (record, to, at) => {
    to[at] = to.write(of(record), at + 1, LONGEST_STRING);
    return at + 1 + (to[at] ?? 0);
  };
  return { name, element, length: VARIABLE, write };
}

function address(length: 4 | 16, name: string, element: number, of: Of<string>): Field {
  const write: Field['write'] = (record, to, at) => {
    const value = parseAddress(of(record))?.value ?? 0n;
    if (length === 4) return to.writeUInt32BE(Number(value), at);
    to.writeBigUInt64BE(value >> 64n, at);
    return to.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, at + 8);
  };
  return { name, element, length, write };
}

const EVENTS: Record<FlowEvent, number> = { deleted: 2, denied: 3, update: 5 };
const DIRECTIONS = ['out', 'in'] as const;
const verdict = (record: FlowLogRecord, at: 'in' | 'out') =>
  record.verdicts.find(({ direction }) => direction === at);

const icmpTypeCode = ({ icmpType = 0, icmpCode = 0 }: FlowLogRecord) => icmpType * 256 + icmpCode;

const COUNTS = (at: 0 | 1) => [
  uint64('packetDeltaCount', 2, ({ packets }) => packets[at]),
  uint64('octetDeltaCount', 1, ({ bytes }) => bytes[at]),
];

/** What every record has, in this order, behind the addresses of its family. */
const COMMON: Field[] = [
  uint64('flowStartMilliseconds', 152, ({ start }) => start),
  uint64('flowEndMilliseconds', 153, ({ end }) => end),
  uint(2, 'sourceTransportPort', 7, ({ sourcePort }) => sourcePort),
  uint(2, 'destinationTransportPort', 11, ({ destinationPort }) => destinationPort),
  uint(1, 'protocolIdentifier', 4, ({ protocol }) => protocol),
  ...COUNTS(0),
  ...COUNTS(1).map(reverse),
  uint(1, 'biflowDirection', 239, () => 1),
  uint(1, 'flowEndReason', 136, ({ reason }) => FLOW_END_REASONS.indexOf(reason) + 1),
  uint(1, 'firewallEvent', 233, ({ event }) => EVENTS[event]),
  string('VRFname', 236, ({ tracker }) => tracker),
  ...DIRECTIONS.map((at) =>
    string('virtualStationName', 350, (record) => verdict(record, at)?.workload ?? ''),
  ),
  ...DIRECTIONS.map((at) => string('selectorName', 335, (record) => verdict(record, at)?.rule ?? '')),
];

/** The elements of a family's records. */
export const IPFIX_FIELDS: Record<Family, Field[]> = {
  4: [
    address(4, 'sourceIPv4Address', 8, ({ source }) => source),
    address(4, 'destinationIPv4Address', 12, ({ destination }) => destination),
    ...COMMON,
    uint(2, 'icmpTypeCodeIPv4', 32, icmpTypeCode),
  ],
  6: [
    address(16, 'sourceIPv6Address', 27, ({ source }) => source),
    address(16, 'destinationIPv6Address', 28, ({ destination }) => destination),
    ...COMMON,
    uint(2, 'icmpTypeCodeIPv6', 139, icmpTypeCode),
  ],
};

export interface IpfixMessage {
  bytes: Buffer;
  records: number;
}

export class IpfixEncoder {
  readonly #domain: number;
  readonly #mostBytes: number;
  /** Room for the longest record. */
  readonly #scratch = Buffer.alloc(2048);
  /** Data records in the messages so far, modulo 2^32. */
  #sequence = 0;

  /** `mostBytes` of one message. */
  constructor(observationDomain: number, mostBytes: number) {
    this.#domain = observationDomain;
    this.#mostBytes = mostBytes;
  }

  /** The message that tells a collector how to read all others. */
  templates(seconds: number): IpfixMessage {
    const records = ([4, 6] as const).map((family) => {
      const fields = IPFIX_FIELDS[family];
      return Buffer.concat([words(TEMPLATES[family], fields.length), ...fields.map(specifier)]);
    });
    return { bytes: this.#message(seconds, [set(TEMPLATE_SET, records)], 0), records: 0 };
  }

  /** As few messages as hold the records. */
  *messages(seconds: number, records: readonly FlowLogRecord[]): Generator<IpfixMessage> {
    for (const family of [4, 6] as const) {
      let parts: Buffer[] = [];
      let length = MESSAGE_HEADER + SET_HEADER;
      for (const record of records) {
        if (record.source.includes(':') !== (family === 6)) continue;
        const bytes = this.#record(family, record);
        if (parts.length > 0 && length + bytes.length > this.#mostBytes) {
          yield this.#data(seconds, family, parts);
          parts = [];
          length = MESSAGE_HEADER + SET_HEADER;
        }
        parts.push(bytes);
        length += bytes.length;
      }
      if (parts.length > 0) yield this.#data(seconds, family, parts);
    }
  }

  #record(family: Family, record: FlowLogRecord): Buffer {
    let end = 0;
    for (const field of IPFIX_FIELDS[family]) end = field.write(record, this.#scratch, end);
    return Buffer.from(this.#scratch.subarray(0, end));
  }

  #data(seconds: number, family: Family, records: Buffer[]): IpfixMessage {
    const bytes = this.#message(seconds, [set(TEMPLATES[family], records)], records.length);
    return { bytes, records: records.length };
  }

  #message(seconds: number, sets: Buffer[], records: number): Buffer {
    const header = Buffer.alloc(MESSAGE_HEADER);
    header.writeUInt16BE(10, 0);
    header.writeUInt16BE(MESSAGE_HEADER + sets.reduce((sum, { length }) => sum + length, 0), 2);
    header.writeUInt32BE(Math.floor(seconds) >>> 0, 4);
    header.writeUInt32BE(this.#sequence, 8);
    header.writeUInt32BE(this.#domain, 12);
    this.#sequence = (this.#sequence + records) >>> 0;
    return Buffer.concat([header, ...sets]);
  }
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => bytes.writeUInt16BE(value, 2 * i));
  return bytes;
}

function set(id: number, records: Buffer[]): Buffer {
  const content = Buffer.concat(records);
  return Buffer.concat([words(id, SET_HEADER + content.length), content]);
}

function specifier({ element, length, enterprise }: Field): Buffer {
  if (enterprise === undefined) return words(element, length);
  return words(element | 0x8000, length, enterprise >>> 16, enterprise & 0xffff);
}
