// Command whisperer is the command-line interface. It also runs everything in one process (standalone).
package main

import (
	"cmp"
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

// version is set by the build; see daemon.Version.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(cli.Run(ctx, cli.Program{
		Name: os.Args[0], Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: daemon.Version(version),
		Environ: os.Environ(), Width: width(os.Stdout),
		Color: isTerminal(os.Stdout) && wantsColor(os.Environ()),
		Live:  isTerminal(os.Stderr) && os.Getenv("TERM") != "dumb",
	}))
}

// unsized is the assumed width of a terminal that does not report its size, such as a serial console or that of a
// container.
const unsized = 80

// width returns the number of columns of the terminal that out writes to, or 0 if it is not a terminal.
func width(out *os.File) int {
	columns, _, err := term.GetSize(int(out.Fd()))
	if err != nil {
		return 0
	}
	return cmp.Or(columns, unsized)
}

// wantsColor reports whether the environment allows color: it respects NO_COLOR (https://no-color.org) and TERM=dumb.
func wantsColor(environ []string) bool {
	return !slices.ContainsFunc(environ, func(v string) bool {
		return strings.HasPrefix(v, "NO_COLOR=") && v != "NO_COLOR=" || v == "TERM=dumb"
	})
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
