// YAML text to plain values that remember where they stand.
//
// Documents are read one by one: by the fast reader of the subset that nearly all are written in, else by the library,
// which also says what is wrong. Both give the same values and the same places.
import type { DocumentError } from './types.js';
import { parseWithLibrary } from './yaml-library.js';
import { isSubsetText, readSubset, Unsupported } from './yaml-subset.js';
import type { SubsetDocument } from './yaml-subset.js';

export type Path = readonly PropertyKey[];

/** One document of a stream. */
export interface Parsed {
  value: unknown;
  /** The first line of its content. */
  line: number;
  /**
   * Where the value at this path stands, or the key of a map, list or empty value; `key`: always the key. The
   * nearest that exists if it does not.
   */
  position(path: Path, key?: boolean): { line: number; column: number };
}

export interface ParsedYaml {
  documents: Parsed[];
  errors: DocumentError[];
}

export function parseYaml(file: string, text: string): ParsedYaml {
  // Directives and ends of documents say something about more than one document.
  if (/^[%.]/.test(text) || text.includes('\n%') || text.includes('\n...'))
    return parseWithLibrary(file, text);
  const documents: Parsed[] = [];
  const errors: DocumentError[] = [];
  const lines = new Lines(text);
  for (const { start, end } of split(text)) {
    const read = trySubset(text, start, end);
    if (read === 'unsupported') {
      // With the next document's mark: what is not closed in a document is wrong there, not at the end of the file.
      const parsed = parseWithLibrary(file, text.slice(start, end + 3), lines.at(start).line);
      for (const document of parsed.documents) documents.push(document);
      for (const error of parsed.errors) errors.push(error);
    } else if (read && read.value !== null) {
      documents.push({
        value: read.value,
        line: lines.at(read.offset).line,
        position: (path, key = false) => lines.at(offsetOf(text, { start, end }, read, path, key)),
      });
    }
  }
  return { documents, errors };
}

interface Extent {
  start: number;
  end: number;
}

/** Where documents stand. A line that begins with `---` begins one, whatever it is in. */
function* split(text: string): Iterable<Extent> {
  let start = 0;
  for (let next = text.indexOf('\n---'); next >= 0; next = text.indexOf('\n---', next + 1)) {
    if (!/^[ \t\r\n]?$/.test(text.charAt(next + 4))) continue;
    yield { start, end: next + 1 };
    start = next + 1;
  }
  yield { start, end: text.length };
}

function trySubset(text: string, start: number, end: number): SubsetDocument | 'unsupported' | undefined {
  if (!isSubsetText(text.slice(start, end))) return 'unsupported';
  try {
    return readSubset(text, start, end);
  } catch (cause) {
    if (cause instanceof Unsupported) return 'unsupported';
    throw cause;
  }
}

/** Where something stands in a document of the subset; all but the items of rules are only found when asked for. */
function offsetOf(
  text: string,
  { start, end }: Extent,
  read: SubsetDocument,
  path: Path,
  key: boolean,
): number {
  const [first = '', second = '', third = ''] = path;
  const list = (read.value as Record<PropertyKey, Record<PropertyKey, unknown>>)[first]?.[second];
  const item = path.length === 3 ? read.lists.get(list)?.[Number(third)] : undefined;
  if (item !== undefined) return item;
  const { value, offset, places } = readSubset(text, start, end, true) as SubsetDocument;
  let found = offset;
  let node = value;
  for (const [i, step] of path.entries()) {
    const inside = places?.get(node);
    if (inside instanceof Map) {
      const place = inside.get(String(step));
      if (!place) break;
      node = (node as Record<string, unknown>)[String(step)];
      const wantsKey = (key && i === path.length - 1) || typeof node === 'object';
      found = wantsKey ? place.key : place.value;
    } else {
      const place = inside?.[Number(step)];
      if (place === undefined) break;
      node = (node as unknown[])[Number(step)];
      found = place;
    }
  }
  return found;
}

/** Lines and columns of offsets. */
class Lines {
  private starts: number[] | undefined;

  constructor(private readonly text: string) {}

  at(offset: number): { line: number; column: number } {
    const starts = (this.starts ??= startsOf(this.text));
    let [low, high] = [0, starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  }
}

function startsOf(text: string): number[] {
  const starts = [0];
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) starts.push(end + 1);
  return starts;
}
