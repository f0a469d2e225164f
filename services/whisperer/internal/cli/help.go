package cli

import (
	"context"
	"embed"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// topics has a text for each topic of `whisperer help`. Its first line is the topic's title.
//
//go:embed topics/*.txt
var topics embed.FS

type helpCommand struct {
	Of []string `arg:"" optional:"" name:"topic" help:"A topic, or a command such as hook create."`
}

// Run prints a topic, the help of a command, or the list of topics.
func (c *helpCommand) Run(ctx context.Context, a *app) error {
	if len(c.Of) == 0 {
		return c.list(a)
	}
	if text, err := topics.ReadFile(path.Join("topics", c.Of[0]+".txt")); err == nil && len(c.Of) == 1 {
		_, err := a.Out.Write(text)
		return err
	}
	p := a.Program
	p.Args = append(slices.Clone(c.Of), "--help")
	p.Err = io.Discard
	if Run(ctx, p) != exitOK {
		return usage("there is neither a topic nor a command %s; `whisperer help` lists the topics, `whisperer --help` the commands", strings.Join(c.Of, " "))
	}
	return nil
}

func (c *helpCommand) list(a *app) error {
	entries, err := topics.ReadDir("topics")
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	fmt.Fprintln(a.Out, "Topics, for `whisperer help TOPIC`:")
	t := &table{}
	for _, e := range entries {
		text, err := topics.ReadFile(path.Join("topics", e.Name()))
		if err != nil {
			return fmt.Errorf("read topic: %w", err)
		}
		about, _, _ := strings.Cut(string(text), "\n")
		t.row("  "+strings.TrimSuffix(e.Name(), ".txt"), about)
	}
	if err := t.write(a.Out, 0); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, "\n`whisperer help hook create` shows the help of a command,\n`whisperer --help` lists them all.")
	return nil
}
