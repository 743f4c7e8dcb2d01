// What a shell evaluates: for each TAB it asks `headgate __complete` with the words up to the cursor. An answer is a line
// for each candidate, its description behind a tab, or `:files`.
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export const FILES_LINE = ':files';

const BASH = `# bash completion for headgate
_headgate() {
  local lines
  mapfile -t lines < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ \${lines[0]-} == ${FILES_LINE} ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
  else
    COMPREPLY=("\${lines[@]%%$'\\t'*}")
  fi
}
complete -F _headgate headgate
`;

const ZSH = `#compdef headgate
# zsh completion for headgate
_headgate() {
  local -a lines
  lines=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ \${lines[1]} == ${FILES_LINE} ]]; then
    _files
  elif [[ -n \${lines[1]} ]]; then
    lines=("\${(@)lines//:/\\\\:}")
    lines=("\${(@)lines/$'\\t'/:}")
    _describe headgate lines
  fi
}
if [[ \${funcstack[1]} == _headgate ]]; then
  _headgate "$@"
else
  compdef _headgate headgate
fi
`;

const FISH = `# fish completion for headgate
function __headgate_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l lines ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
  if test "$lines[1]" = ${FILES_LINE}
    __fish_complete_path "$current"
  else if set -q lines[1]
    printf '%s\\n' $lines
  end
end
complete -c headgate -f -a '(__headgate_complete)'
`;

export const SCRIPTS: Record<Shell, string> = { bash: BASH, zsh: ZSH, fish: FISH };
