"""`cdam-bench`: how a command is found in the words of a command line and begun. Imports nothing heavy."""

import os
import sys

from cdam_bench.cli.commands import BY_NAME, COMMANDS, PROGRAM, Command
from cdam_bench.errors import nearest_names


def main(words: list[str] | None = None) -> None:
    """The program `cdam-bench`.

    Args:
        words: of the command line; None: those of this process.
    """
    words = sys.argv[1:] if words is None else list(words)
    try:
        _main(words)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads what is printed has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _main(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"{PROGRAM} {version('cdam-bench')}")
        return
    command = find(words)
    if command is None:
        known = {name.split()[0] for name in BY_NAME} | set(BY_NAME)
        near = nearest_names(" ".join(words[:2]), known) or nearest_names(words[0], known)
        hint = f"did you mean {' or '.join(near)}?" if near else f"`{PROGRAM} --help` lists the commands"
        members = [name for name in BY_NAME if name.split()[0] == words[0]]
        if members:  # train, without saying what
            hint = f"use one of {', '.join(members)}"
        print(f"error: command {' '.join(words[:1])} is unknown: {hint}", file=sys.stderr)
        sys.exit(2)
    start(command, words[len(command.name.split()) :])


def find(words: list[str]) -> Command | None:
    """The command that the first words name."""
    return BY_NAME.get(" ".join(words[:2])) or BY_NAME.get(words[0])


def start(command: Command, words: list[str]) -> None:
    """Run a command with the words that follow its name."""
    from cdam_bench.cli.app import run  # Hydra: half a second that the list of commands does not need

    flags = dict(command.flags)
    words = [quoted(flags.get(word, word)) for word in assigned(words, command.bare)]
    if command.name == "explain":
        # concept is a path, a list or a group of settings; Hydra merges keys into what is null only with a plus
        words = [f"+{word}" if word.startswith("concept.") else word for word in words]
    sys.argv = [f"{PROGRAM} {command.name}", *command.first, *words]
    run(command.task, command.config)


def assigned(words: list[str], names: tuple[str, ...]) -> list[str]:
    """Words with those that are no flags and set nothing as values of `names`, in order: `results` as `a='results'`."""
    left = iter(names)
    settled = []
    for word in words:
        name = None if "=" in word or word[:1] in "-+~" else next(left, None)
        settled.append(word if name is None else f"{name}={_in_quotes(word)}")
    return settled


def _in_quotes(word: str) -> str:
    """A word as Hydra reads it, whatever is in it."""
    return "'" + word.replace("\\'", "\\\\'").replace("'", "\\'") + "'"


def quoted(word: str) -> str:
    """`image=ünï.png` as `image='ünï.png'`: without quotes Hydra reads only some letters; what has quotes or brackets stays."""
    key, _, value = word.partition("=")
    return f"{key}='{value}'" if not value.isascii() and not set(value) & set("'\"[](){},\\") else word


def script(name: str) -> None:
    """A program in scripts/ that is one command: its words follow."""
    start(BY_NAME[name], sys.argv[1:])


def overview() -> str:
    """All commands, a line each."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS]
    return "\n".join(
        [
            f"{PROGRAM} explains the predictions of vision transformers and measures the explanations.",
            "",
            f"  {PROGRAM} <command> [key=value …]",
            "",
            *lines,
            "",
            f"`{PROGRAM} <command> --help` shows its settings. A first look, without data or weights of your own:",
            f"  {PROGRAM} run estimator=cdam && {PROGRAM} tables",
            "Every setting can be changed as key=value; HYDRA_FULL_ERROR=1 shows tracebacks.",
        ]
    )
