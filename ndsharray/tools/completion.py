"""``ndsharray completion``: the script that completes command lines in a shell.

The script holds the commands and their options as they are now, and asks ``ndsharray list --names``
for the arrays. An update of the library may need it anew, so a shell had best evaluate it when it
starts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from . import cli

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = "Print a script that completes commands, options and array names in a shell."
EXAMPLE = 'eval "$(ndsharray completion bash)"    # in ~/.bashrc'

# What the options that take a value complete to: files, transports, or nothing.
_FILES = {"--root", "--save", "-o", "--output", "--config"}
_TRANSPORTS = "mmap posix_shm"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("shell", choices=sorted(_SCRIPTS), help="which shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    print(_SCRIPTS[options.shell](), end="")
    return 0


class _Option:
    """One option, of one command.

    Attributes
    ----------
    names : list of str
        All its spellings.
    values : str or None
        What comes after it, separated by spaces; None: no value does; "": anything.
    files : bool
        Whether that is a path.
    help : str
        What it does.
    """

    def __init__(self, action: argparse.Action) -> None:
        self.names = list(action.option_strings)
        self.files = bool(_FILES & set(self.names))
        self.help = (action.help or "").replace("%%", "%")
        self.values: str | None = None
        if action.nargs != 0:
            self.values = " ".join(map(str, action.choices or ()))
            if "--transport" in self.names:
                self.values = _TRANSPORTS


def _options() -> dict[str, list[_Option]]:
    return {
        command: [_Option(a) for a in cli.parser_of(command)._actions if a.option_strings]
        for command in cli.COMMANDS
    }


def _takes(command: str, what: str) -> bool:
    """Tell whether a command takes arrays (``NAME``) or files (``FILE``) without an option."""
    actions = cli.parser_of(command)._actions
    return any(action.metavar == what for action in actions if not action.option_strings)


def _bash() -> str:
    cases, valued, files = [], list[str](), set[str]()
    for command, options in _options().items():
        names = " ".join(name for option in options for name in option.names)
        cases.append(f"        {command}) options='{names}' ;;")
        for option in options:
            if option.files:
                files |= set(option.names)
            elif option.values is not None:
                valued += option.names
    with_names = "|".join(c for c in cli.COMMANDS if _takes(c, "NAME"))
    with_files = "|".join(c for c in cli.COMMANDS if _takes(c, "FILE"))
    paths = "|".join(sorted(files))
    others = "|".join(sorted(set(valued) - {"--transport"}))
    # One name is one line, whatever spaces it has; macOS' own bash, 3.2, has no compopt.
    path = "local IFS=$'\\n'; compopt -o filenames 2>/dev/null"
    path += '; COMPREPLY=($(compgen -f -- "$word"))'
    shells = " ".join(sorted(_SCRIPTS))
    return f"""\
_ndsharray() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" options line
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(cli.COMMANDS)} --help --version" -- "$word"))
        return
    fi
    case "$before" in
        {paths}) {path}; return ;;
        --transport) COMPREPLY=($(compgen -W "{_TRANSPORTS}" -- "$word")); return ;;
        {others}) return ;;
    esac
    case "${{COMP_WORDS[1]}}" in
{chr(10).join(cases)}
        *) return ;;
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$options" -- "$word")); return ;;
    esac
    case "${{COMP_WORDS[1]}}" in
        completion) COMPREPLY=($(compgen -W "{shells}" -- "$word")) ;;
        {with_files}) {path} ;;
        {with_names})
            while IFS= read -r line; do
                line=$(printf '%q' "$line")
                case "$line" in "$word"*) COMPREPLY+=("$line") ;; esac
            done < <("${{COMP_WORDS[0]}}" list --names 2>/dev/null) ;;
    esac
}}
complete -F _ndsharray ndsharray
"""


def _zsh() -> str:
    described = "\n".join(f"        {_quoted(f'{c}:{text}')}" for c, text in cli.COMMANDS.items())
    cases = []
    for command, options in _options().items():
        specs = [_zsh_option(name, option) for option in options for name in option.names]
        if command == "completion":
            specs.append(f"'1:shell:({' '.join(sorted(_SCRIPTS))})'")
        elif _takes(command, "FILE"):
            specs.append("'*:file:_files'")
        elif _takes(command, "NAME"):
            specs.append("'*:array:_ndsharray_names'")
        cases.append(f"        {command}) _arguments {' '.join(specs)} ;;")
    return f"""\
#compdef ndsharray
_ndsharray_names() {{
    local -a names
    names=("${{(@f)$(ndsharray list --names 2>/dev/null)}}")
    compadd -a names
}}
_ndsharray() {{
    local -a commands
    commands=(
{described}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words; (( CURRENT-- ))
    case $command in
{chr(10).join(cases)}
    esac
}}
if [ "$funcstack[1]" = _ndsharray ]; then _ndsharray "$@"; else compdef _ndsharray ndsharray; fi
"""


def _zsh_option(name: str, option: _Option) -> str:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", " -")
    spec = f"{name}[{text}]"
    if option.values is not None:
        what = "_files" if option.files else f"({option.values})" if option.values else " "
        spec += f":value:{what}"
    return _quoted(spec)


def _quoted(text: str) -> str:
    """Return a text as one word for zsh and POSIX shells."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish() -> str:
    lines = ["complete -c ndsharray -f"]
    for command, text in cli.COMMANDS.items():
        lines.append(
            f"complete -c ndsharray -n __fish_use_subcommand -a {command} -d {_fish_quoted(text)}"
        )
    for command, options in _options().items():
        head = f"complete -c ndsharray -n '__fish_seen_subcommand_from {command}'"
        for option in options:
            flags = [f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names]
            value = "" if option.values is None else " -r -F" if option.files else " -x"
            value += f" -a '{option.values}'" if option.values else ""
            lines.append(f"{head} {' '.join(flags)}{value} -d {_fish_quoted(option.help)}")
        if command == "completion":
            lines.append(f"{head} -a '{' '.join(sorted(_SCRIPTS))}'")
        elif _takes(command, "FILE"):
            lines.append(f"{head} -F")
        elif _takes(command, "NAME"):
            lines.append(f"{head} -a '(ndsharray list --names 2>/dev/null)'")
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SCRIPTS: dict[str, Callable[[], str]] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
