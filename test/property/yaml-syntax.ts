// Pieces of text that mean something in YAML, or that are odd in any text: what damaged documents are made with.
export const SYNTAX: readonly string[] = [
  ...['\t', '  ', '\n', '---\n', ': ', '- ', '[', ']', '{', '}', '"', "'"],
  ...['&a ', '!x ', '|\n', '>-\n', '? ', '#', '%'],
  ...['\0', '\ud800', '\u2028', '\ufeff'],
];
