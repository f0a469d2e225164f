package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help describes how to install it.
func (c *completionCommand) Help() string {
	return "bash: source <(whisperer completion bash)    zsh: source <(whisperer completion zsh)    fish: whisperer completion fish | source"
}

// Run prints a script for bash, which zsh can run as well, or one for fish.
func (c *completionCommand) Run(a *app) error {
	if c.Shell == "fish" {
		b := &strings.Builder{}
		b.WriteString("complete -c whisperer -f\n")
		fishCompletions(b, a.model.Node, nil)
		_, err := io.WriteString(a.Out, b.String())
		return err
	}
	if c.Shell == "zsh" {
		fmt.Fprintln(a.Out, "autoload -U +X compinit bashcompinit && compinit && bashcompinit")
	}
	var paths, words strings.Builder
	completions(&paths, &words, a.model.Node, "")
	_, err := fmt.Fprintf(a.Out, `_whisperer() {
  local word path= words=
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
%s    esac
  done
  case "$path" in
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _whisperer whisperer
`, paths.String(), words.String())
	return err
}

// completions writes a case for each command below the node: that it is one, and what may follow it.
func completions(paths, words io.Writer, node *kong.Node, path string) {
	var next []string
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		next = append(next, child.Name)
		fmt.Fprintf(paths, "    %q) path=%q ;;\n", path+" "+child.Name, path+" "+child.Name)
		completions(paths, words, child, path+" "+child.Name)
	}
	for _, group := range node.AllFlags(true) {
		for _, flag := range group {
			next = append(next, "--"+flag.Name)
		}
	}
	fmt.Fprintf(words, "  %q) words=%q ;;\n", path, strings.Join(next, " "))
}

// fishCompletions writes a line for each command and flag below the node, with its description.
func fishCompletions(out io.Writer, node *kong.Node, path []string) {
	var names []string
	for _, child := range node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	condition := "__fish_use_subcommand"
	if len(path) > 0 {
		condition = "__fish_seen_subcommand_from " + path[len(path)-1]
		if len(names) > 0 {
			condition += "; and not __fish_seen_subcommand_from " + strings.Join(names, " ")
		}
		for _, before := range path[:len(path)-1] {
			condition = "__fish_seen_subcommand_from " + before + "; and " + condition
		}
	}
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		fmt.Fprintf(out, "complete -c whisperer -n %s -a %s -d %s\n", fishQuote(condition), child.Name, fishQuote(child.Help))
		fishCompletions(out, child, append(slices.Clip(path), child.Name))
	}
	for _, flag := range visible(node.Flags) {
		needs := ""
		if !flag.IsBool() {
			needs = " -r"
		}
		if len(path) == 0 {
			fmt.Fprintf(out, "complete -c whisperer -l %s%s -d %s\n", flag.Name, needs, fishQuote(flag.Help))
			continue
		}
		fmt.Fprintf(out, "complete -c whisperer -n %s -l %s%s -d %s\n", fishQuote(condition), flag.Name, needs, fishQuote(flag.Help))
	}
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", " ").Replace(s) + "'"
}
