/**
 * `rum completions SHELL`: a few lines for the shell that ask `rum complete` at every Tab, so that
 * the answer is always this build's own tree, and machines and services are those of now.
 */
import { EXIT, RumError } from "../base/errors.ts";
import type { Context, VerbCall } from "./verb.ts";

export const COMPLETION_SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# rum completions for bash: source <(rum completions bash)
_rum() {
  local IFS=$'\\n' words
  words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  COMPREPLY=($(rum complete -- "\${words[@]}" 2>/dev/null))
  if [ "\${COMPREPLY[0]}" = ":files" ]; then
    COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -o default -F _rum rum
`,
  zsh: `#compdef rum
# rum completions for zsh: put this into a file named _rum on your fpath
_rum() {
  local -a answers
  answers=("\${(@f)$(rum complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${answers[1]}" == ":files" ]]; then _files; else compadd -- "\${answers[@]}"; fi
}
compdef _rum rum
`,
  fish: `# rum completions for fish: rum completions fish | source
function __rum_complete
  set -l words (commandline -opc)[2..] (commandline -ct)
  set -l answers (rum complete -- $words 2>/dev/null)
  if test "$answers[1]" = ":files"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $answers
  end
end
complete -c rum -f -a '(__rum_complete)'
`,
};

export function run(context: Context, call: VerbCall): Promise<number> {
  const [shell] = call.operands;
  const script = Object.hasOwn(COMPLETION_SCRIPTS, shell) ? COMPLETION_SCRIPTS[shell] : undefined;
  if (script === undefined) {
    throw new RumError("usage", `Cannot make completions for "${shell}": wanted bash, zsh or fish`);
  }
  context.out.document("completions", { shell, script }, () => script);
  return Promise.resolve(EXIT.ok);
}
