"""The command `completion`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from envkit.base.errors import UsageError
from envkit.cli.flags import Flags, program
from envkit.cli.output import out
from envkit.cli.verb import BEGIN, Verb

BASH = """\
_envkit_{mark}() {{
  {guard}
  local IFS=$'\\n'
  COMPREPLY=($({program} __complete "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null))
}}
complete -o default -F _envkit_{mark} {name}
"""

ZSH = """\
_envkit_{mark}() {{
  {guard}
  local -a found
  found=(${{(f)"$({program} __complete "${{(@)words[2,CURRENT]}}" 2>/dev/null)"}})
  if (( $#found )); then compadd -Q -a found; else _files; fi
}}
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}
compdef _envkit_{mark} {name}
"""

FISH = """\
function __envkit_{mark}
    {guard}
    set -l words (commandline -opc) (commandline -ct)
    set -l found ({program} __complete $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c {name} -f -a '(__envkit_{mark})'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

GUARDS = {
    "bash": "[[ $1 -ef {program} ]] || return 0",
    "zsh": "[[ $words[1] -ef {program} ]] || return 1",
    "fish": "test (realpath (commandline -opc)[1]) = {program}; or return",
}
"""Conditions in the scripts. `./dev` can be another program in another folder; a script must call only its own."""


def script(shell: str, called: str) -> str:
    """Return the completion script for the shell. `called` is how the user calls envkit: a name on PATH, or a path."""
    path = Path(called)
    there = "/" in called
    name, asked = (path.name, shlex.quote(os.path.realpath(called))) if there else (called, shlex.quote(called))
    mark = "".join(letter if letter.isalnum() else "_" for letter in name)
    guard = GUARDS[shell].format(program=asked) if there else ":" if shell != "fish" else "true"
    return SCRIPTS[shell].format(mark=mark, name=shlex.quote(name), program=asked, guard=guard)


def completion(_flags: Flags, shell: str | None = None) -> None:
    """Print a script for `bash`, `zsh` or `fish` that completes commands, options and names."""
    if shell not in SCRIPTS:
        raise UsageError(
            f"completion takes one of {', '.join(SCRIPTS)}", hint=f'for example: eval "$({program()} completion bash)"'
        )
    out(script(shell, program()))


VERB = Verb(
    completion,
    BEGIN,
    (("completion bash", 'for ~/.bashrc: eval "$(envkit completion bash)"'),),
    words="shell",
    usage="bash|zsh|fish",
    help={
        "shell": "bash, zsh or fish, as a plain word after the command",
    },
    choices=tuple(SCRIPTS),
)
