// What one list of merged ranges has more than another.
import type { Range } from '../documents/ip.js';

/** The addresses of `from` that are not in `less`; both merged, as mergeRanges gives them. */
export function subtract(from: readonly Range[], less: readonly Range[]): Range[] {
  const left: Range[] = [];
  let at = 0;
  for (const { family, first, last } of from) {
    let begin = first;
    while (at < less.length && isBefore(less[at] as Range, family, first)) at++;
    for (let i = at; i < less.length && begin <= last; i++) {
      const hole = less[i] as Range;
      if (hole.family !== family || hole.first > last) break;
      if (begin < hole.first) left.push({ family, first: begin, last: hole.first - 1n });
      begin = hole.last + 1n;
    }
    if (begin <= last) left.push({ family, first: begin, last });
  }
  return left;
}

function isBefore(range: Range, family: Range['family'], first: bigint): boolean {
  return range.family < family || (range.family === family && range.last < first);
}
