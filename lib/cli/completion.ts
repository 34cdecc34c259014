// `vgg completion`: prints a script with which a shell completes commands, options and their values.
import { Argument, type Command, type Option } from "commander";
import { plainCommand } from "./options.js";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** A command as the scripts need it. Nothing that a user types reaches them. */
interface Completion {
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
      process.stdout.write(scripts[shell](parent!.commands.map(completionOf)));
    });
}

function completionOf(of: Command): Completion {
  const help = of.createHelp();
  const options = help.visibleOptions(of).map((option: Option) => ({
    flag: option.long ?? option.short!,
    description: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  }));
  return { name: of.name(), description: of.description(), options };
}

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

// bash and zsh complete file names if the script finds no words.
function bashScript(commands: readonly Completion[]): string {
  return `# Completes vgg in bash: source <(vgg completion bash)
_vgg() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} found=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then found="${commands.map(({ name }) => name).join(" ")}"; fi
  case "\${COMP_WORDS[1]} $previous" in
${valueCases(commands, "return").join("\n")}
  esac
  if [ -z "$found" ] && [[ $current == -* ]]; then
    case "\${COMP_WORDS[1]}" in
${commands.map((each) => `    ${each.name}) found="${flagsOf(each)}" ;;`).join("\n")}
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
  if [ "$CURRENT" -eq 2 ]; then found="${commands.map(({ name }) => name).join(" ")}"; fi
  case "$words[2] $words[CURRENT-1]" in
${valueCases(commands, "_files; return").join("\n")}
  esac
  if [ -z "$found" ] && [[ $words[CURRENT] == -* ]]; then
    case "$words[2]" in
${commands.map((each) => `    ${each.name}) found="${flagsOf(each)}" ;;`).join("\n")}
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
      lines.push(
        `complete -c ${program} -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
      );
      for (const { flag, description: text, takesValue, choices } of options) {
        const kind = flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        const value =
          choices.length > 0 ? ` -x -a ${quoted(choices.join(" "))}` : takesValue ? " -r" : "";
        lines.push(
          `complete -c ${program} -n '__fish_seen_subcommand_from ${name}' ${kind}${value} -d ${quoted(text)}`,
        );
      }
    }
  }
  return `${lines.join("\n")}\n`;
}
