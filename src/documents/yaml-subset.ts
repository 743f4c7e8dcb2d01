// Reads the YAML that people and programs mostly write, many times as fast as the library: block maps and lists,
// flow maps and lists (so JSON, too), scalars on one line, comments.
//
// Everything else (anchors, aliases, tags, directives, block scalars, scalars over several lines, tabs, `? ` keys, empty
// values in flow) and everything that may be wrong is left to the library: the reader throws `Unsupported` and says
// nothing about the text. What it does read, it must read as the library does: the library is its oracle in
// test/property/documents-yaml.test.ts.

/** The text is to be read by the library. */
export class Unsupported extends Error {}

const unsupported = new Unsupported('not in the subset');

const SPACE = 0x20;
const NEWLINE = 0x0a;
const HASH = 0x23;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const COMMA = 0x2c;
const DASH = 0x2d;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;
/** Behind the last character. */
const END = -1;

/** Less than what the library is allowed (yaml-library.ts), so that what is read here is not too deep there. */
const MAX_DEPTH = 32;
const MAX_COLUMN = 200;
/** A key in one line may have 1024 characters. */
const MAX_KEY = 1000;

/** What a plain scalar does not begin with: indicators. `-` may, with more behind it. */
const NOT_FIRST = new Set([...'?:,[]{}#&*!|>\'"%@`'].map((one) => one.charCodeAt(0)));
// Some characters break lines or are invisible, and YAML, the library and JavaScript do not agree about them.
// eslint-disable-next-line no-control-regex
const ODD = /[\0-\x09\x0b-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]/;

/** Core schema (YAML 1.2, section 10.3.2): what is not text. Whole numbers in their plain form are read here. */
const WHOLE = /^(?:0|-?[1-9]\d{0,14})$/;
const OTHER_NUMBER =
  /^(?:[-+]?\d+|0o[0-7]+|0x[\da-fA-F]+|[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const WORDS = new Map<string, boolean | null>([
  ...['true', 'True', 'TRUE'].map((word) => [word, true] as const),
  ...['false', 'False', 'FALSE'].map((word) => [word, false] as const),
  ...['null', 'Null', 'NULL', '~'].map((word) => [word, null] as const),
]);

/** Where the entries of a map or list stand: of a list its items, of a map its keys and values. */
export type Places = number[] | Map<string, { key: number; value: number }>;

export interface SubsetDocument {
  value: unknown;
  /** Where its content begins. */
  offset: number;
  /** Where the items of each list stand that is the value of a field of a field, such as `spec.rules`. */
  lists: Map<unknown, number[]>;
  /** Where everything stands, if that was asked for. */
  places: Map<unknown, Places> | undefined;
}

/** Whether a text may be read here at all. */
export function isSubsetText(text: string): boolean {
  return !ODD.test(text);
}

/** Reads one document between two offsets; undefined: it is empty. Throws `Unsupported`. */
export function readSubset(
  text: string,
  start: number,
  end: number,
  withPlaces = false,
): SubsetDocument | undefined {
  return new Reader(text, start, end, withPlaces).read();
}

class Reader {
  /** Where the next token begins; its column is `at - lineStart`, or there is none: `done`. */
  private at: number;
  private lineStart: number;
  private done = false;
  private depth = 0;
  private readonly lists = new Map<unknown, number[]>();
  private readonly places: Map<unknown, Places> | undefined;

  constructor(
    private readonly text: string,
    private readonly start: number,
    private readonly end: number,
    withPlaces: boolean,
  ) {
    this.at = start;
    this.lineStart = start;
    this.places = withPlaces ? new Map() : undefined;
  }

  read(): SubsetDocument | undefined {
    const isMarked = this.text.startsWith('---', this.start);
    if (isMarked) this.at += 3;
    const newLine = this.nextToken();
    if (this.done) return undefined;
    if (isMarked && !newLine) throw unsupported;
    const offset = this.at;
    const value = this.block();
    if (!this.done) throw unsupported;
    return { value, offset, lists: this.lists, places: this.places };
  }

  private char(i: number): number {
    return i < this.end ? this.text.charCodeAt(i) : END;
  }

  private get column(): number {
    return this.done ? -1 : this.at - this.lineStart;
  }

  /** Goes on to the next token, over spaces, comments and ends of lines; says whether it is on another line. */
  private nextToken(mayComment = true): boolean {
    const { text, end } = this;
    let i = this.at;
    let newLine = false;
    for (; i < end; i++) {
      const char = text.charCodeAt(i);
      if (char === SPACE) continue;
      if (char === HASH && mayComment && (i === this.start || isBlank(text.charCodeAt(i - 1)))) {
        i = text.indexOf('\n', i);
        if (i < 0 || i >= end) i = end;
        if (i === end) break;
      } else if (char !== NEWLINE) {
        break;
      }
      newLine = true;
      this.lineStart = i + 1;
    }
    this.at = i;
    this.done = i >= end;
    if (i - this.lineStart > MAX_COLUMN && newLine) throw unsupported;
    return newLine;
  }

  /** A value is complete: nothing more may follow on its line. */
  private endValue(): void {
    const newLine = this.nextToken();
    if (!this.done && !newLine) throw unsupported;
  }

  /** A map, a list or a flow that begins a line, with all that belongs to it. */
  private block(parent = -1): unknown {
    const char = this.char(this.at);
    if (char === DASH && isBlank(this.char(this.at + 1))) return this.list(this.column);
    if (char === OPEN_LIST || char === OPEN_MAP) {
      const value = this.flow(parent);
      this.endValue();
      return value;
    }
    return this.map(this.column);
  }

  private enter(): void {
    if (++this.depth > MAX_DEPTH) throw unsupported;
  }

  private map(indent: number): unknown {
    this.enter();
    const map: Record<string, unknown> = {};
    const places = this.places && new Map<string, { key: number; value: number }>();
    do {
      const keyAt = this.at;
      const key = this.key(false);
      if (!isBlank(this.char(this.at))) throw unsupported;
      if (Object.hasOwn(map, key)) throw unsupported;
      const newLine = this.nextToken();
      const valueAt = this.at;
      let value: unknown;
      if (this.done || newLine) {
        value = this.nested(indent);
      } else {
        value = this.inline(indent);
        this.endValue();
      }
      map[key] = value;
      places?.set(key, { key: keyAt, value: valueAt });
    } while (this.column === indent && !this.atItem());
    // A list in a map's column belongs to a key only where it follows it.
    if (this.column === indent) throw unsupported;
    if (places) this.places?.set(map, places);
    this.depth--;
    return map;
  }

  private atItem(): boolean {
    return this.char(this.at) === DASH && isBlank(this.char(this.at + 1));
  }

  /** What stands on the lines below a key: deeper, or a list in the same column; null: nothing. */
  private nested(indent: number): unknown {
    if (this.column > indent) {
      const value = this.block(indent);
      if (this.column > indent) throw unsupported;
      return value;
    }
    return this.column === indent && this.atItem() ? this.list(indent) : null;
  }

  private list(indent: number): unknown[] {
    this.enter();
    const list: unknown[] = [];
    const places: number[] = [];
    while (this.column === indent && this.atItem()) {
      this.at++;
      const newLine = this.nextToken();
      if (this.column <= indent) throw unsupported;
      places.push(this.at);
      list.push(newLine ? this.block(indent) : this.item(indent));
      if (this.column > indent) throw unsupported;
    }
    if (this.depth === 3) this.lists.set(list, places);
    this.places?.set(list, places);
    this.depth--;
    return list;
  }

  /** What follows `- ` on its line. */
  private item(indent: number): unknown {
    if (this.atItem()) return this.list(this.column);
    if (this.keyAhead()) return this.map(this.column);
    const value = this.inline(indent);
    this.endValue();
    return value;
  }

  private keyAhead(): boolean {
    const { at } = this;
    const char = this.char(at);
    if (char === OPEN_LIST || char === OPEN_MAP) return false;
    if (char === QUOTE || char === APOSTROPHE) this.quoted();
    else this.plain(false);
    const isKey = this.char(this.at) === COLON;
    this.at = at;
    return isKey;
  }

  /** A key and its colon. */
  private key(inFlow: boolean): string {
    const { at } = this;
    const char = this.char(at);
    const isQuoted = char === QUOTE || char === APOSTROPHE;
    const key = isQuoted ? this.quoted() : this.resolve(this.plain(inFlow));
    if (this.at - at > MAX_KEY || key === '__proto__') throw unsupported;
    if (inFlow) while (this.char(this.at) === SPACE) this.at++;
    if (this.char(this.at) !== COLON || typeof key === 'boolean' || key === null) throw unsupported;
    this.at++;
    return String(key);
  }

  /** A scalar or flow that stands on the line of its key or dash. */
  private inline(indent: number): unknown {
    const char = this.char(this.at);
    if (char === OPEN_LIST || char === OPEN_MAP) return this.flow(indent);
    if (char === QUOTE || char === APOSTROPHE) return this.quoted();
    const text = this.plain(false);
    if (this.char(this.at) === COLON) throw unsupported;
    return this.resolve(text);
  }

  private flow(indent: number): unknown {
    this.enter();
    const value = this.char(this.at) === OPEN_LIST ? this.flowList(indent) : this.flowMap(indent);
    this.depth--;
    return value;
  }

  private flowList(indent: number): unknown[] {
    const list: unknown[] = [];
    const places: number[] = [];
    this.at++;
    for (;;) {
      this.flowSpace(indent);
      if (this.char(this.at) === CLOSE_LIST) break;
      places.push(this.at);
      list.push(this.flowValue(indent));
      this.flowSpace(indent);
      if (this.char(this.at) === CLOSE_LIST) break;
      if (this.char(this.at) !== COMMA) throw unsupported;
      this.at++;
    }
    this.at++;
    if (this.depth === 3) this.lists.set(list, places);
    this.places?.set(list, places);
    return list;
  }

  private flowMap(indent: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    const places = this.places && new Map<string, { key: number; value: number }>();
    this.at++;
    for (;;) {
      this.flowSpace(indent);
      if (this.char(this.at) === CLOSE_MAP) break;
      const keyAt = this.at;
      const isQuoted = this.char(keyAt) === QUOTE || this.char(keyAt) === APOSTROPHE;
      const key = this.key(true);
      if (Object.hasOwn(map, key) || (!isQuoted && !isBlank(this.char(this.at)))) throw unsupported;
      this.flowSpace(indent);
      const valueAt = this.at;
      map[key] = this.flowValue(indent);
      places?.set(key, { key: keyAt, value: valueAt });
      this.flowSpace(indent);
      if (this.char(this.at) === CLOSE_MAP) break;
      if (this.char(this.at) !== COMMA) throw unsupported;
      this.at++;
    }
    this.at++;
    if (places) this.places?.set(map, places);
    return map;
  }

  /** Lines of a flow are indented deeper than what holds it. The library does not take all comments in flows. */
  private flowSpace(indent: number): void {
    const newLine = this.nextToken(false);
    if (this.done || (newLine && this.column <= indent)) throw unsupported;
  }

  private flowValue(indent: number): unknown {
    const char = this.char(this.at);
    if (char === OPEN_LIST || char === OPEN_MAP) return this.flow(indent);
    if (char === QUOTE || char === APOSTROPHE) return this.quoted();
    return this.resolve(this.plain(true));
  }

  /** A scalar without quotes; stops at its end, or at the colon behind a key. */
  private plain(inFlow: boolean): string {
    const { text, end, at } = this;
    const first = this.char(at);
    if (NOT_FIRST.has(first) || first === END) throw unsupported;
    if (first === DASH && endsPlain(this.char(at + 1), inFlow)) throw unsupported;
    let last = at;
    let i = at;
    for (; i < end; i++) {
      const char = text.charCodeAt(i);
      if (char === SPACE) continue;
      if (char === NEWLINE || (char === HASH && i > last)) break;
      if (char === COLON && endsPlain(this.char(i + 1), inFlow)) break;
      if (inFlow && isFlowIndicator(char)) break;
      last = i + 1;
    }
    this.at = last === i || this.char(i) !== COLON ? last : i;
    return text.slice(at, last);
  }

  private resolve(text: string): string | number | boolean | null {
    const first = text.charCodeAt(0);
    // Digits, signs and dots.
    if ((first >= 0x30 && first <= 0x39) || first === DASH || first === 0x2b || first === 0x2e) {
      if (WHOLE.test(text)) return Number(text);
      if (OTHER_NUMBER.test(text)) throw unsupported;
      return text;
    }
    if (text.length > 5) return text;
    const word = WORDS.get(text);
    return word === undefined ? text : word;
  }

  private quoted(): string {
    const { text } = this;
    const begin = this.at + 1;
    if (this.char(this.at) === APOSTROPHE) {
      let close = text.indexOf("'", begin);
      while (close >= 0 && this.char(close + 1) === APOSTROPHE) close = text.indexOf("'", close + 2);
      return this.oneLine(begin, close).replaceAll("''", "'");
    }
    let escaped = false;
    let close = begin;
    for (; close < this.end; close++) {
      const char = text.charCodeAt(close);
      if (char === QUOTE || char === NEWLINE) break;
      if (char !== BACKSLASH) continue;
      escaped = true;
      close++;
    }
    const inner = this.oneLine(begin, close < this.end && this.char(close) === QUOTE ? close : -1);
    return escaped ? unescape(inner) : inner;
  }

  private oneLine(begin: number, close: number): string {
    if (close < 0 || close >= this.end) throw unsupported;
    const inner = this.text.slice(begin, close);
    if (inner.includes('\n')) throw unsupported;
    this.at = close + 1;
    return inner;
  }
}

/** JSON's escapes mean the same in YAML; YAML has more. */
function unescape(inner: string): string {
  try {
    return JSON.parse(`"${inner}"`) as string;
  } catch {
    throw unsupported;
  }
}

function isBlank(char: number): boolean {
  return char === SPACE || char === NEWLINE || char === END;
}

function isFlowIndicator(char: number): boolean {
  return (
    char === COMMA || char === OPEN_LIST || char === CLOSE_LIST || char === OPEN_MAP || char === CLOSE_MAP
  );
}

/** Whether a `-` or `:` before this character is an indicator. */
function endsPlain(next: number, inFlow: boolean): boolean {
  return isBlank(next) || (inFlow && isFlowIndicator(next));
}
