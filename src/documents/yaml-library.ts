// Reads YAML with the library: all that yaml-subset.ts leaves to it, and everything that is wrong.
//
// One pass over the library's syntax tree makes values and refuses what documents do not need and what could
// hurt: duplicate keys, tags, other YAML versions, values that are no text, number, boolean, map or list,
// aliases that expand without bound ("billion laughs") or contain themselves. Nesting is measured on the
// tokens before the tree is built, because the library recurses and Node dies of a full stack inside a
// regular expression instead of throwing.
import type { Alias, Document as YamlDocument, Node, Pair, YAMLMap, YAMLSeq } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, parseAllDocuments } from 'yaml';
import type { DocumentError } from './types.js';
import { clip } from './fields.js';
import type { Parsed, ParsedYaml, Path } from './yaml.js';

const MAX_DEPTH = 64;
const MAX_INDENT = 256;
/** Most values that the aliases of one stream may add. */
const MAX_ALIASED = 10_000;

/** Reads a stream of documents that begins on a line of a file. */
export function parseWithLibrary(file: string, text: string, firstLine = 1): ParsedYaml {
  const lines = new LineCounter();
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1) + firstLine - 1, column: Math.max(col, 1) };
  };
  const errors: DocumentError[] = [];
  const fail = (offset: number, message: string) => errors.push({ file, ...at(offset), path: '', message });

  const deep = findTooDeep(text);
  if (deep !== undefined) {
    lines.addNewLine(0);
    for (let end = text.indexOf('\n'); end >= 0 && end < deep; end = text.indexOf('\n', end + 1))
      lines.addNewLine(end + 1);
    fail(
      deep,
      `nested deeper than ${MAX_DEPTH} levels or indented by more than ${MAX_INDENT} columns: flatten it`,
    );
    return { documents: [], errors };
  }
  // Own check of duplicate keys (below): the library's is quadratic.
  const stream = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: 'silent',
  });
  const documents: Parsed[] = [];
  for (const document of Array.isArray(stream) ? stream : []) {
    const before = errors.length;
    for (const error of document.errors) fail(error.pos[0], brokenYaml(error.code, error.message));
    for (const warning of document.warnings) fail(warning.pos[0], `${warning.message}: remove the tag`);
    if (document.directives?.yaml.explicit && document.directives.yaml.version !== '1.2') {
      fail(
        document.range[0],
        `YAML ${document.directives.yaml.version} is not read: remove the %YAML directive`,
      );
    }
    if (errors.length > before || document.contents === null) continue;
    const converter = new Converter(fail);
    const value = converter.convert(document.contents, 0);
    if (errors.length > before || value === null) continue;
    documents.push({
      value,
      line: at(document.contents.range?.[0] ?? 0).line,
      position: (path, key = false) => at(offsetOf(document, converter.targets, path, key)),
    });
  }
  return { documents, errors };
}

/** The offset at which the text becomes too deep to be parsed safely. */
function findTooDeep(text: string): number | undefined {
  let offset = 0;
  let flow = 0;
  let block = 0;
  let lineStart = true;
  for (const lexeme of new Lexer().lex(text)) {
    // Control characters are the lexer's own marks (document start, scalar follows) and take no room.
    if (lexeme === '\u0002' || lexeme === '\u0018' || lexeme === '\u001f') continue;
    if (lexeme === '\n' || lexeme === '\r\n') {
      lineStart = true;
      block = 0;
    } else {
      if (lineStart && /^[ \t]/.test(lexeme)) block += lexeme.length / 4;
      else if (lexeme === '-' || lexeme === '?' || lexeme === ':') block++;
      else if (lexeme === '[' || lexeme === '{') flow++;
      else if (lexeme === ']' || lexeme === '}') flow--;
      else if (lexeme === ',') block = 0;
      lineStart = false;
      if (flow > MAX_DEPTH || block > MAX_DEPTH) return offset;
    }
    offset += lexeme.length;
  }
  return undefined;
}

function brokenYaml(code: string, message: string): string {
  const hints: Record<string, string> = {
    TAB_AS_INDENT: 'indent with spaces',
    BAD_INDENT: 'line up the entries of a map or list, and close what was opened',
    MISSING_CHAR: 'close the quote or bracket, or quote the value',
    BLOCK_AS_IMPLICIT_KEY: 'put the nested map on its own lines, or quote a value that contains ": "',
    MULTILINE_IMPLICIT_KEY: 'end the key with ":" on its own line',
    BAD_ALIAS: 'quote a value that begins with "*" or "&"',
  };
  return `broken YAML: ${clip(message, 200)}: ${hints[code] ?? 'check quotes, brackets and indentation near here'}`;
}

class Converter {
  /** What each alias stands for. */
  readonly targets = new Map<Alias, Node>();
  private readonly anchors = new Map<string, Node>();
  private aliased = 0;

  constructor(private readonly fail: (offset: number, message: string) => void) {}

  convert(node: unknown, depth: number, insideAlias = false): unknown {
    if (isAlias(node)) return this.expand(node, depth);
    if (insideAlias && ++this.aliased > MAX_ALIASED) return undefined;
    if (isScalar(node)) {
      if (node.anchor) this.anchors.set(node.anchor, node);
      if (['string', 'number', 'boolean'].includes(typeof node.value) || node.value === null)
        return node.value;
      this.fail(offset(node), 'only text, numbers, booleans, maps and lists are read: quote the value');
      return undefined;
    }
    if (isMap(node) || isSeq(node)) {
      if (node.anchor) this.anchors.set(node.anchor, node);
      return isMap(node) ? this.map(node, depth, insideAlias) : this.list(node, depth, insideAlias);
    }
    // An absent value: `key:` in a flow map, or an empty list entry.
    return null;
  }

  private map(node: YAMLMap, depth: number, insideAlias: boolean): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    const seen = new Set<string>();
    for (const pair of node.items) {
      const key = keyOf(pair);
      const where = offset(pair.key) || offset(node);
      if (key === undefined) {
        this.fail(where, 'a key must be text: quote it');
      } else if (key === '__proto__') {
        this.fail(where, 'the key "__proto__" is not allowed: remove it');
      } else if (seen.has(key)) {
        this.fail(where, `duplicate key "${clip(key)}": remove one, or rename it`);
      } else {
        seen.add(key);
        value[key] = this.convert(pair.value, depth + 1, insideAlias);
      }
    }
    return value;
  }

  private list(node: YAMLSeq, depth: number, insideAlias: boolean): unknown[] {
    return node.items.map((item) => this.convert(item, depth + 1, insideAlias));
  }

  private expand(alias: Alias, depth: number): unknown {
    const target = this.anchors.get(alias.source);
    if (!target) {
      this.fail(
        offset(alias),
        `alias "*${clip(alias.source)}" has no anchor before it: quote the value if "*" is part of it`,
      );
      return undefined;
    }
    this.targets.set(alias, target);
    // A tree this deep comes from an alias inside its own anchor.
    const expanded = depth > MAX_DEPTH * 4 ? undefined : this.convert(target, depth + 1, true);
    if (depth > MAX_DEPTH * 4 || (this.aliased > MAX_ALIASED && this.aliased < Infinity)) {
      this.aliased = Infinity;
      this.fail(
        offset(alias),
        `aliases expand to more than ${MAX_ALIASED} values, or contain themselves: write the values out`,
      );
    }
    return expanded;
  }
}

function keyOf(pair: Pair): string | undefined {
  const key = isScalar(pair.key) ? pair.key.value : undefined;
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'boolean'
    ? String(key)
    : undefined;
}

function offset(node: unknown): number {
  return (node as Node | null)?.range?.[0] ?? 0;
}

function offsetOf(
  document: YamlDocument.Parsed,
  targets: Map<Alias, Node>,
  path: Path,
  key: boolean,
): number {
  let node: unknown = document.contents;
  let found = offset(node);
  for (const [i, step] of path.entries()) {
    if (isAlias(node)) node = targets.get(node);
    if (isMap(node)) {
      const pair = node.items.find((item) => keyOf(item) === String(step));
      if (!pair) break;
      const { value } = pair;
      const isEmpty = offset(value) === 0 || (isScalar(value) && value.value === null);
      const wantsKey = (key && i === path.length - 1) || isEmpty || isMap(value) || isSeq(value);
      found = wantsKey ? offset(pair.key) : offset(pair.value);
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      if (!node) break;
      found = offset(node);
    } else {
      break;
    }
  }
  return found;
}
