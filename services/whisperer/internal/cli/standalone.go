package cli

import (
	"context"
	"io"
	"os/signal"
	"syscall"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/standalone"
)

type standaloneCommand struct {
	Data        string `help:"Data folder, kept from one start to the next." default:"${data_dir}" placeholder:"FOLDER"`
	DatabaseURL string `help:"Use this PostgreSQL instead of starting one from local binaries." env:"WHISPERER_DATABASE_URL" name:"database-url" placeholder:"URL"`
	NATSURL     string `help:"Use this NATS (2.14.6 or newer, with JetStream) instead of the embedded one." env:"WHISPERER_NATS_URL" name:"nats-url" placeholder:"URL"`
	namespaceFlag
	Listen     string  `help:"The API's address (default: 127.0.0.1:8080, or the next free port)." placeholder:"HOST:PORT"`
	AnyPort    bool    `help:"Listen on any free ports instead of the usual ones."`
	Demo       bool    `help:"Publish and receive the events of a small demo shop, and print them (--no-demo turns it off)." default:"true" negatable:""`
	Speed      float64 `help:"Speed of the demo." default:"1" placeholder:"TIMES"`
	Durability string  `help:"fast: accepted events survive a crash, but a power cut may lose the last second. strict: they survive a power cut, and publishing is slower." enum:"fast,strict" default:"fast" placeholder:"WORD"`
}

// Run runs everything until it is interrupted.
func (c *standaloneCommand) Run(ctx context.Context, a *app) error {
	if c.Speed < 0.01 || c.Speed > 1000 {
		return usage("--speed: must be from 0.01 to 1000")
	}
	var credentials []string
	if c.NATSURL != "" { // our own server needs no credentials
		credentials = natsVariables(a.Environ)
	}
	var again io.Reader
	if a.Width > 0 { // a person reads the output
		again = a.In
		signal.Ignore(syscall.SIGTTIN) // in the background, reading the terminal must fail rather than stop the program
	}
	return standalone.Run(ctx, standalone.Options{
		NATSEnviron: credentials, Environ: a.Environ,
		Data: c.Data, DatabaseURL: c.DatabaseURL, NATSURL: c.NATSURL, Namespace: c.Namespace, Listen: c.Listen, AnyPort: c.AnyPort, Demo: c.Demo,
		Speed: c.Speed, Strict: c.Durability == "strict", Version: a.Version, Program: a.Name, Out: a.Out, Color: a.Color, Again: again,
	})
}
