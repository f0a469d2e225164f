package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type manualCommand struct {
	Format string `arg:"" enum:"man,markdown" help:"man or markdown."`
}

// Run prints the reference of all commands.
func (c *manualCommand) Run(a *app) error {
	b := &strings.Builder{}
	if c.Format == "man" {
		manPage(b, a.model)
	} else {
		markdown(b, a.model)
	}
	_, err := io.WriteString(a.Out, b.String())
	return err
}

// exitCodes describes the exit codes for --help and the manual.
var exitCodes = [...]struct {
	code    int
	meaning string
}{
	{exitOK, "done"},
	{exitFailed, "failed"},
	{exitUsage, "wrong usage"},
	{exitNotFound, "not found"},
	{exitRefused, "refused: the token"},
	{exitConflict, "conflict with what is there"},
	{exitUnavailable, "unavailable: try again later"},
	{exitDiffers, "differs (sync --check, reconcile)"},
}

// leaves calls do for each command that does something, with its full name, in the order of the help.
func leaves(node *kong.Node, path string, do func(path string, leaf *kong.Node)) {
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		name := strings.TrimSpace(path + " " + child.Name)
		if len(child.Children) == 0 {
			do(name, child)
			continue
		}
		leaves(child, name, do)
	}
}

// usageLine returns a command's usage.
func usageLine(path string, leaf *kong.Node) string {
	words := []string{"whisperer", path}
	for _, arg := range leaf.Positional {
		word := "<" + arg.Name + ">"
		if arg.IsCumulative() {
			word += "..."
		}
		if !arg.Required {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	if len(visible(leaf.Flags)) > 0 {
		words = append(words, "[flags]")
	}
	return strings.Join(words, " ")
}

func visible(flags []*kong.Flag) []*kong.Flag {
	var shown []*kong.Flag
	for _, f := range flags {
		if !f.Hidden && f.Name != "help" {
			shown = append(shown, f)
		}
	}
	return shown
}

// spelled returns a flag with the name of its value.
func spelled(f *kong.Flag) string {
	text := "--" + f.Name
	if f.Short != 0 {
		text = "-" + string(f.Short) + ", " + text
	}
	if !f.IsBool() {
		text += "=" + f.FormatPlaceHolder()
	}
	return text
}

// meaning returns the help of a flag or argument, with its default and its variable.
func meaning(v *kong.Value) string {
	text := strings.TrimSpace(v.Help)
	if v.HasDefault && v.Default != "" && v.Default != "0s" && v.Default != "false" && !strings.Contains(text, "default") {
		text = strings.TrimSuffix(text, ".") + " (default: " + v.Default + ")."
	}
	if v.Tag != nil && len(v.Tag.Envs) > 0 {
		text = strings.TrimSuffix(text, ".") + " [" + strings.Join(v.Tag.Envs, ", ") + "]."
	}
	return text
}

func markdown(out io.Writer, model *kong.Application) {
	fmt.Fprintf(out, "# The command line\n\n<!-- Written by `whisperer manual markdown`; make verify holds it against the commands. -->\n\n")
	fmt.Fprintf(out, "%s\n\n", firstParagraph(model.Help))
	fmt.Fprint(out, "| exit code | means |\n|---|---|\n")
	for _, e := range exitCodes {
		fmt.Fprintf(out, "| %d | %s |\n", e.code, e.meaning)
	}
	fmt.Fprint(out, "\n## Every command\n\n")
	flagTable(out, visible(model.Flags))
	group := ""
	leaves(model.Node, "", func(path string, leaf *kong.Node) {
		if noun, _, _ := strings.Cut(path, " "); noun != group {
			group = noun
			fmt.Fprintf(out, "\n## %s\n", noun)
		}
		fmt.Fprintf(out, "\n### whisperer %s\n\n%s\n\n```\n%s\n```\n", path, cell(leaf.Help), usageLine(path, leaf))
		if leaf.Detail != "" {
			fmt.Fprintf(out, "\n```text\n%s\n```\n", strings.TrimSpace(leaf.Detail))
		}
		if len(leaf.Positional) > 0 {
			fmt.Fprint(out, "\n| argument | means |\n|---|---|\n")
			for _, arg := range leaf.Positional {
				fmt.Fprintf(out, "| `%s` | %s |\n", arg.Name, cell(meaning(arg)))
			}
		}
		if flags := visible(leaf.Flags); len(flags) > 0 {
			fmt.Fprintln(out)
			flagTable(out, flags)
		}
	})
}

func flagTable(out io.Writer, flags []*kong.Flag) {
	fmt.Fprint(out, "| flag | means |\n|---|---|\n")
	for _, f := range flags {
		fmt.Fprintf(out, "| `%s` | %s |\n", strings.ReplaceAll(spelled(f), "|", "\\|"), cell(meaning(f.Value)))
	}
}

// cell escapes a text for a table cell, so that words in angle brackets are not taken for HTML.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", ">", "&gt;").Replace(s)
}

func firstParagraph(text string) string {
	first, _, _ := strings.Cut(text, "\n\n")
	return first
}

// manPage writes the page with man(7)'s macros.
func manPage(out io.Writer, model *kong.Application) {
	fmt.Fprintf(out, ".TH WHISPERER 1 \"\" \"Whisperer\" \"User Commands\"\n.SH NAME\nwhisperer \\- webhooks of an order management system\n")
	fmt.Fprintf(out, ".SH SYNOPSIS\n.B whisperer\n.I command\n[\\fIflags\\fR]\n.SH DESCRIPTION\n%s\n", roff(firstParagraph(model.Help)))
	fmt.Fprint(out, ".SH OPTIONS OF EVERY COMMAND\n")
	manFlags(out, visible(model.Flags))
	fmt.Fprint(out, ".SH COMMANDS\n")
	leaves(model.Node, "", func(path string, leaf *kong.Node) {
		fmt.Fprintf(out, ".SS %s\n%s\n", roff(usageLine(path, leaf)), roff(leaf.Help))
		if leaf.Detail != "" {
			fmt.Fprintf(out, ".PP\n.nf\n%s\n.fi\n", roff(strings.TrimSpace(leaf.Detail)))
		}
		for _, arg := range leaf.Positional {
			fmt.Fprintf(out, ".TP\n.I %s\n%s\n", roff(arg.Name), roff(meaning(arg)))
		}
		manFlags(out, visible(leaf.Flags))
	})
	fmt.Fprint(out, ".SH EXIT STATUS\n")
	for _, e := range exitCodes {
		fmt.Fprintf(out, ".TP\n.B %d\n%s\n", e.code, roff(e.meaning))
	}
	fmt.Fprintf(out, ".SH FILES\n.TP\n.I %s/url\n.TQ\n.I %s/token\nWhere a standalone in this folder says where its API is, and its token.\n", roff(DataDir), roff(DataDir))
}

func manFlags(out io.Writer, flags []*kong.Flag) {
	for _, f := range flags {
		fmt.Fprintf(out, ".TP\n.B %s\n%s\n", roff(spelled(f)), roff(meaning(f.Value)))
	}
}

// roff escapes a text, so that it is not taken for requests.
func roff(s string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
