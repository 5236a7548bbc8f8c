#include "cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

namespace leat::cli {
namespace {

struct Command {
  std::string name;
  std::string summary;
  std::vector<std::string> options;  // "--output", "-o"
};

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> all;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) all.push_back("--" + name);
    for (const std::string& name : option->get_snames()) all.push_back("-" + name);
  }
  return all;
}

std::vector<Command> commands_of(const CLI::App& app) {
  std::vector<Command> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    std::vector<std::string> options = options_of(*command);
    for (const std::string& option : options_of(app)) {
      if (option != "--help" && option != "-h") options.push_back(option);  // the command has its own
    }
    commands.push_back({command->get_name(), command->get_description(), std::move(options)});
  }
  return commands;
}

std::vector<std::string> names_of(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name);
  return names;
}

std::string bash(const std::vector<Command>& commands) {
  std::string cases;
  for (const Command& command : commands)
    cases += fmt::format("    {}) words='{}' ;;\n", command.name, fmt::join(command.options, " "));
  return fmt::format(
      R"(# bash completion for leat: source <(leat completion bash)
_leat() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words
  case $previous in
    -o|--output) COMPREPLY=($(compgen -W 'table wide json jsonl' -- "$current")); return ;;
    completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$current")); return ;;
  esac
  case ${{COMP_WORDS[1]}} in
{}    *) words='{}' ;;
  esac
  [[ $COMP_CWORD -eq 1 ]] && words='{}'
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${{#COMPREPLY[@]}} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _leat leat
)",
      cases, fmt::join(names_of(commands), " "), fmt::join(names_of(commands), " "));
}

std::string fish(const std::vector<Command>& commands) {
  std::string script = "# fish completion for leat: leat completion fish | source\n";
  for (const Command& command : commands) {
    script +=
        fmt::format("complete -c leat -n __fish_use_subcommand -f -a {} -d '{}'\n", command.name, command.summary);
    for (const std::string& option : command.options) {
      const bool is_long = option.starts_with("--");
      script += fmt::format("complete -c leat -n '__fish_seen_subcommand_from {}' -{} {}\n", command.name,
                            is_long ? "l" : "s", option.substr(is_long ? 2 : 1));
    }
  }
  script += "complete -c leat -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n";
  return script;
}

}  // namespace

std::string completion_script(const CLI::App& app, Shell shell) {
  const std::vector<Command> commands = commands_of(app);
  switch (shell) {
    case Shell::kBash:
      return bash(commands);
    case Shell::kZsh:
      return "autoload -U +X bashcompinit && bashcompinit\n" + bash(commands);
    case Shell::kFish:
      return fish(commands);
  }
  return "";
}

}  // namespace leat::cli
