package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh" help:"bash or zsh."`
}

// Help says how to use it.
func (c *completionCommand) Help() string {
	return "bash: source <(whisperer completion bash)    zsh: source <(whisperer completion zsh)"
}

// Run prints a script for bash, which zsh runs too.
func (c *completionCommand) Run(a *app) error {
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
