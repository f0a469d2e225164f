package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// streamFlags are the services' settings of streams.
type streamFlags struct {
	Replicas    int   `help:"Replicas that each stream should have." env:"WHISPERER_STREAM_REPLICAS" default:"1" placeholder:"N"`
	OMSMaxBytes int64 `help:"Size of the event log in bytes." name:"oms-max-bytes" env:"WHISPERER_OMS_MAX_BYTES" default:"2147483648" placeholder:"BYTES"`
	OwnMaxBytes int64 `help:"Size of the stream of callbacks and operational events in bytes." name:"own-max-bytes" env:"WHISPERER_OWN_MAX_BYTES" default:"268435456" placeholder:"BYTES"`
}

func (f streamFlags) options(namespace string) bus.Options {
	return bus.Options{Namespace: bus.Namespace(namespace), Replicas: f.Replicas, OMSMaxBytes: f.OMSMaxBytes, OwnMaxBytes: f.OwnMaxBytes}
}

type migrateStreams struct {
	databaseFlag
	NATSURL string `help:"The NATS of the services." env:"WHISPERER_NATS_URL" name:"nats-url" required:"" placeholder:"URL"`
	namespaceFlag
	streamFlags
	Apply bool `help:"Change what differs."`
	Adopt bool `help:"Take over the streams of another installation, after its database was replaced."`
}

// Help describes when it is needed.
func (c *migrateStreams) Help() string {
	return "Services create streams from their settings and leave them alone afterwards, so that an operator's changes stay. Give this\n" +
		"command the services' environment: it lists what differs, and changes it with --apply.\n" +
		"Services do not touch the streams of another installation. If its database is lost for good and this one replaces it, --adopt\n" +
		"hands the streams over; stop the other installation's services first. A database restored from its own backup does not need this."
}

// setting is a difference in the output of --json.
type setting struct {
	Stream  string `json:"stream"`
	Setting string `json:"setting"`
	Is      string `json:"is"`
	Wanted  string `json:"wanted"`
	Changed bool   `json:"changed"`
}

// Run shows the differences, and applies the settings.
func (c *migrateStreams) Run(ctx context.Context, a *app) error {
	nats, err := c.connect(ctx, a)
	if err != nil {
		return err
	}
	defer nats.Close()
	list := []setting{}
	if c.Adopt {
		adopted, err := nats.Streams().Adopt(ctx)
		for _, name := range adopted {
			list = append(list, setting{Stream: name, Setting: "installation", Is: "another", Wanted: "this one", Changed: true})
		}
		if err != nil {
			return errors.Join(a.printSettings(list), err)
		}
	}
	differ, err := nats.Streams().Settings(ctx)
	if err == nil && c.Apply {
		err = nats.Streams().ApplySettings(ctx)
	}
	for _, s := range differ {
		list = append(list, setting{
			Stream: s.Stream, Setting: s.Name, Is: strconv.FormatInt(s.Have, 10), Wanted: strconv.FormatInt(s.Want, 10), Changed: c.Apply && err == nil,
		})
	}
	return errors.Join(a.printSettings(list), err)
}

// connect connects like a program of the installation.
func (c *migrateStreams) connect(ctx context.Context, a *app) (*bus.Bus, error) {
	db, err := store.Open(c.DatabaseURL, 1, nil)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := db.Ready(ctx); err != nil {
		return nil, err
	}
	installation, err := db.Installation(ctx)
	if err != nil {
		return nil, err
	}
	credentials, err := natsCredentials(a.Environ)
	if err != nil {
		return nil, usage("%s", err)
	}
	o := c.options(c.Namespace)
	o.Credentials = credentials
	o.URL, o.Name, o.Installation, o.Log = c.NATSURL, "whisperer-cli", installation.String(), zap.NewNop()
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()
	nats, err := bus.Connect(ctx, o)
	if err != nil {
		return nil, errors.Join(client.ErrUnavailable, err)
	}
	return nats, nil
}

func (a *app) printSettings(list []setting) error {
	return a.print(list, func(t *table) {
		if len(list) == 0 {
			t.row("the streams are as the settings say")
			return
		}
		t.head("STREAM", "SETTING", "IS", "WANTED", "CHANGED")
		for _, s := range list {
			t.row(s.Stream, s.Setting, s.Is, s.Wanted, fmt.Sprint(yesNo(s.Changed)))
		}
	})
}
