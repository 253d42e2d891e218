"""``aud-dnn COMMAND …``: every script as a command, with the same flags.

::

    aud-dnn                            # all commands
    aud-dnn fit --help
    aud-dnn fit --source_model Kell2018word --source_layer all --target NH2015
    eval "$(aud-dnn --completion)"     # Tab completes commands and flags, in bash and zsh
"""

from __future__ import annotations

import importlib
import sys

from aud_dnn.commands import COMMANDS, PROGRAM
from aud_dnn.terminal import start_script

_COMPLETION = """\
[ -n "$ZSH_VERSION" ] && autoload -U +X bashcompinit && bashcompinit
_aud_dnn() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
    elif [[ "$word" == -* ]]; then
        COMPREPLY=($(compgen -W "$({program} "${{COMP_WORDS[1]}}" --help 2>/dev/null \\
            | grep -oE -- '--[a-zA-Z_]+' | sort -u)" -- "$word"))
    fi
}}
complete -o default -F _aud_dnn {program}
"""


def usage() -> str:
    """What ``aud-dnn`` prints by itself."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND ...    ({PROGRAM} COMMAND --help says more)",
            "",
            *lines,
            "",
            "  --version      the version",
            "  --completion   what completes commands and flags in bash and zsh: "
            f'eval "$({PROGRAM} --completion)"',
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run one command with the rest of the command line."""
    from aud_dnn import __version__
    from aud_dnn.errors import unknown_name

    first, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if first in ("-h", "--help"):
        print(usage())
        return 0
    if first == "--version":
        print(f"{PROGRAM} {__version__}")
        return 0
    if first == "--completion":
        print(_COMPLETION.format(commands=" ".join(COMMANDS), program=PROGRAM), end="")
        return 0
    if first not in COMMANDS:
        raise unknown_name("command", first, COMMANDS)
    sys.argv = [f"{PROGRAM} {first}", *rest]  # the name in its help and messages
    status: int = importlib.import_module(COMMANDS[first].module).main(rest)
    return status


def run() -> None:
    """The program ``aud-dnn``."""
    start_script()
    from aud_dnn.running import run_script

    run_script(main)


if __name__ == "__main__":
    run()
