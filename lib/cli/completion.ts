// `vgg completion`: prints a script with which a shell completes commands, options and their values.
import { Argument, type Command, type Option } from "commander";
import { plainCommand } from "./options.js";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** A command as the scripts need it. Nothing that a user types reaches them. */
interface Completion {
  /** Of a command in a group, such as `vgg cuda`, the group's name comes first. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly {
    /** With the dashes, the long name if there is one. */
    readonly flag: string;
    readonly description: string;
    /** Whether a value follows the flag. */
    readonly takesValue: boolean;
    /** The values, or none if a file or any text follows. */
    readonly choices: readonly string[];
  }[];
  /** The last words of the names of its commands, if it is a group. */
  readonly subcommands: readonly string[];
}

const scripts: Readonly<Record<Shell, (commands: readonly Completion[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export function completionCommand(): Command {
  return plainCommand("completion", "print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>", "shell that reads the script").choices(shells))
    .action((shell: Shell, _options: unknown, { parent }: Command) => {
      process.stdout.write(scripts[shell](parent!.commands.flatMap((each) => completionsOf(each))));
    });
}

/** Returns a command, and after it its own commands. */
function completionsOf(of: Command, group = ""): Completion[] {
  const one = completionOf(of, group);
  return [one, ...of.commands.flatMap((each) => completionsOf(each, `${one.name} `))];
}

function completionOf(of: Command, group: string): Completion {
  const help = of.createHelp();
  const options = help.visibleOptions(of).map((option: Option) => ({
    flag: option.long ?? option.short!,
    description: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  }));
  return {
    name: `${group}${of.name()}`,
    description: of.description(),
    options,
    subcommands: of.commands.map((each) => each.name()),
  };
}

const topLevel = (commands: readonly Completion[]) =>
  commands.filter(({ name }) => !name.includes(" "));
const groupsOf = (commands: readonly Completion[]) =>
  commands.filter(({ subcommands }) => subcommands.length > 0);

const flagsOf = ({ options }: Completion) => options.map(({ flag }) => flag).join(" ");
const valuesOf = ({ options }: Completion) => options.filter(({ takesValue }) => takesValue);

/** The cases of a flag that takes a value: its choices, or `files`. */
function valueCases(commands: readonly Completion[], files: string): string[] {
  return commands.flatMap((each) =>
    valuesOf(each).map(
      ({ flag, choices }) =>
        `    "${each.name} ${flag}") ${choices.length > 0 ? `found="${choices.join(" ")}"` : files} ;;`,
    ),
  );
}

/** The lines that complete the commands of a group, and put a group's command into `command`. */
function bashGroups(commands: readonly Completion[]): string {
  const lines = groupsOf(commands).map(
    ({ name, subcommands }) =>
      `    ${name})\n      if [ "$COMP_CWORD" -eq 2 ]; then found="${subcommands.join(" ")}"; fi\n      command="$command \${COMP_WORDS[2]}" ;;`,
  );
  return `  case "$command" in\n${lines.join("\n")}\n  esac`;
}

function zshGroups(commands: readonly Completion[]): string {
  const lines = groupsOf(commands).map(
    ({ name, subcommands }) =>
      `    ${name})\n      if [ "$CURRENT" -eq 3 ]; then found="${subcommands.join(" ")}"; fi\n      command="$command $words[3]" ;;`,
  );
  return `  case "$command" in\n${lines.join("\n")}\n  esac`;
}

/** fish's condition for the options of a command. */
const seen = (name: string) =>
  name
    .split(" ")
    .map((word) => `__fish_seen_subcommand_from ${word}`)
    .join("; and ");

// bash and zsh complete file names if the script finds no words.
function bashScript(commands: readonly Completion[]): string {
  return `# Completes vgg in bash: source <(vgg completion bash)
_vgg() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} found=
  local command=\${COMP_WORDS[1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then found="${topLevel(commands)
    .map(({ name }) => name)
    .join(" ")}"; fi
${bashGroups(commands)}
  case "$command $previous" in
${valueCases(commands, "return").join("\n")}
  esac
  if [ -z "$found" ] && [[ $current == -* ]]; then
    case "$command" in
${commands.map((each) => `    "${each.name}") found="${flagsOf(each)}" ;;`).join("\n")}
    esac
  fi
  if [ -n "$found" ]; then COMPREPLY=($(compgen -W "$found" -- "$current")); fi
}
complete -o default -F _vgg vgg vgg-cudnn
`;
}

function zshScript(commands: readonly Completion[]): string {
  return `#compdef vgg vgg-cudnn
# Completes vgg in zsh: source <(vgg completion zsh)
_vgg() {
  local found=
  local command="$words[2]"
  if [ "$CURRENT" -eq 2 ]; then found="${topLevel(commands)
    .map(({ name }) => name)
    .join(" ")}"; fi
${zshGroups(commands)}
  case "$command $words[CURRENT-1]" in
${valueCases(commands, "_files; return").join("\n")}
  esac
  if [ -z "$found" ] && [[ $words[CURRENT] == -* ]]; then
    case "$command" in
${commands.map((each) => `    "${each.name}") found="${flagsOf(each)}" ;;`).join("\n")}
    esac
  fi
  if [ -n "$found" ]; then compadd -- \${=found}; else _files; fi
}
compdef _vgg vgg vgg-cudnn
`;
}

const quoted = (text: string) => `'${text.replace(/[\\']/g, "\\$&")}'`;

function fishScript(commands: readonly Completion[]): string {
  const lines = ["# Completes vgg in fish: vgg completion fish | source"];
  for (const program of ["vgg", "vgg-cudnn"]) {
    for (const { name, description, options } of commands) {
      const [first, second] = name.split(" ") as [string, string?];
      const isNext =
        second === undefined
          ? "__fish_use_subcommand"
          : `'__fish_seen_subcommand_from ${first}; and test (count (commandline -opc)) -eq 2'`;
      lines.push(
        `complete -c ${program} -n ${isNext} -f -a ${second ?? first} -d ${quoted(description)}`,
      );
      for (const { flag, description: text, takesValue, choices } of options) {
        const kind = flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        const value =
          choices.length > 0 ? ` -x -a ${quoted(choices.join(" "))}` : takesValue ? " -r" : "";
        lines.push(`complete -c ${program} -n '${seen(name)}' ${kind}${value} -d ${quoted(text)}`);
      }
    }
  }
  return `${lines.join("\n")}\n`;
}
