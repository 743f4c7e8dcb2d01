// Reads IPFIX messages as RFC 7011 has them, without anything of Headgate's: templates from the messages themselves.
// Values are bigints, or text where the element is of variable length; addresses are hexadecimal.

export interface Specifier {
  element: number;
  length: number;
  enterprise: number | undefined;
}

export interface Message {
  exportTime: number;
  sequence: number;
  domain: number;
  length: number;
  templates: number;
  /** By `ENTERPRISE/ELEMENT` or `ELEMENT`: values in the order in which they stand. */
  records: Map<string, (bigint | string)[]>[];
}

export class IpfixReader {
  readonly templates = new Map<number, Specifier[]>();

  read(bytes: Buffer): Message {
    if (bytes.readUInt16BE(0) !== 10) throw new Error('not version 10');
    if (bytes.readUInt16BE(2) !== bytes.length) throw new Error('not as long as it says');
    const message: Message = {
      exportTime: bytes.readUInt32BE(4),
      sequence: bytes.readUInt32BE(8),
      domain: bytes.readUInt32BE(12),
      length: bytes.length,
      templates: 0,
      records: [],
    };
    for (let at = 16; at < bytes.length; at += bytes.readUInt16BE(at + 2)) {
      const id = bytes.readUInt16BE(at);
      const content = bytes.subarray(at + 4, at + bytes.readUInt16BE(at + 2));
      if (id === 2) message.templates += this.#readTemplates(content);
      else message.records.push(...this.#readRecords(id, content));
    }
    return message;
  }

  #readTemplates(content: Buffer): number {
    let count = 0;
    for (let at = 0; at < content.length; count++) {
      const [id, fields] = [content.readUInt16BE(at), content.readUInt16BE(at + 2)];
      at += 4;
      const specifiers: Specifier[] = [];
      for (let i = 0; i < fields; i++) {
        const element = content.readUInt16BE(at);
        const own = (element & 0x8000) !== 0;
        specifiers.push({
          element: element & 0x7fff,
          length: content.readUInt16BE(at + 2),
          enterprise: own ? content.readUInt32BE(at + 4) : undefined,
        });
        at += own ? 8 : 4;
      }
      this.templates.set(id, specifiers);
    }
    return count;
  }

  #readRecords(id: number, content: Buffer): Message['records'] {
    const template = this.templates.get(id);
    if (template === undefined) throw new Error(`no template ${id} came before its records`);
    const records: Message['records'] = [];
    for (let at = 0; at < content.length;) {
      const record = new Map<string, (bigint | string)[]>();
      for (const { element, length, enterprise } of template) {
        const size = length === 65535 ? content.readUInt8(at++) : length;
        if (at + size > content.length) throw new Error('a record is longer than its set');
        const value = content.subarray(at, at + size);
        at += size;
        const key = enterprise === undefined ? String(element) : `${enterprise}/${element}`;
        const read = length === 65535 ? value.toString() : BigInt(`0x${value.toString('hex')}`);
        record.set(key, [...(record.get(key) ?? []), read]);
      }
      records.push(record);
    }
    return records;
  }
}
