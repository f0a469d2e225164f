package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
)

type eraseCommand struct {
	Event  []string `help:"Erase the event with this id; may be repeated." placeholder:"ID"`
	Entity string   `help:"Erase the events of this entity, such as customer:61." placeholder:"TEXT"`
	Path   string   `help:"Erase the events whose data this SQL/JSON path matches; needs --since, at most 31 days back." placeholder:"PATH"`
	Since  moment   `help:"The earliest events: how long ago, such as 2h or 7d, or a time." placeholder:"WHEN"`
	Until  moment   `help:"The latest, in the same format (default: now)." placeholder:"WHEN"`
	Reason string   `help:"Reason, for the audit log; required unless --dry-run." placeholder:"TEXT"`
	DryRun bool     `help:"Only count."`
	Yes    bool     `help:"Don't ask." short:"y"`
	Detach bool     `help:"Don't wait for the end; whisperer erasure watch shows the progress."`
}

// Help describes what happens.
func (c *eraseCommand) Help() string {
	return "Data, contexts and receivers' answers are overwritten permanently; ids, types, times, entities and digests stay. Waiting deliveries " +
		"become dead with the reason erased. It counts first and asks."
}

// Run counts, asks for confirmation, begins the erasure and shows its progress.
func (c *eraseCommand) Run(ctx context.Context, a *app) error {
	from, to, err := rangeFlags{Since: c.Since, Until: c.Until}.times()
	if err != nil {
		return err
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	if len(c.Event) == 0 && c.Entity == "" && c.Path == "" {
		return usage("give --event, --entity or --path")
	}
	fields := client.EraseFields{Events: c.Event, Entity: c.Entity, Path: c.Path, From: from, To: to, Reason: c.Reason, DryRun: true}
	counted, err := server.Erasures.Create(ctx, fields)
	switch {
	case err != nil:
		return err
	case c.DryRun:
		return a.printErasure(&counted)
	case c.Reason == "":
		return usage("--reason: say why the payloads are erased")
	case counted.Size() == 0:
		fmt.Fprintln(a.Err, "no recorded event matches; rejected and set-aside events are searched, too")
	}
	if err := a.confirm(c.Yes, fmt.Sprintf("Erase the payloads of %s, permanently?", number(counted.Size(), "event", "events"))); err != nil {
		return err
	}
	fields.DryRun = false
	e, err := server.Erasures.Create(ctx, fields)
	if err != nil {
		return err
	}
	if c.Detach || e.ID == nil {
		return a.printErasure(&e)
	}
	return a.watchErasure(ctx, server, *e.ID)
}

type erasureCommand struct {
	List        erasureList        `cmd:"" help:"List erasures, newest first."`
	Get         erasureGet         `cmd:"" help:"Show an erasure and its progress."`
	Watch       erasureWatch       `cmd:"" help:"Show an erasure's progress until it has ended; exit code 1 if it failed or was cancelled."`
	Certificate erasureCertificate `cmd:"" help:"Print the certificate of a completed erasure, as JSON."`
	Verify      erasureVerify      `cmd:"" help:"Check a certificate's signature, without asking the server."`
	Cancel      erasureCancel      `cmd:"" help:"Cancel an erasure; what is already being erased stays erased."`
}

type erasureList struct{ listFlags }

// Run prints the list.
func (c *erasureList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(server.Erasures.List(ctx), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("ID", "STATE", "OF", "DONE", "TOTAL", "CREATED", "+OWNER", "REASON")
		for i := range list {
			e := &list[i]
			t.row(erasureID(e), string(e.State), erasedWhat(e), fmt.Sprint(e.Done), total(e), until(e.CreatedDate), actorText(e.Owner, e.OwnerName), e.Reason)
		}
	})
}

func erasureID(e *api.Erasure) string {
	if e.ID == nil {
		return "-"
	}
	return e.ID.String()
}

// erasedWhat describes the events of an erasure.
func erasedWhat(e *api.Erasure) string {
	switch {
	case len(e.Events) == 1:
		return e.Events[0]
	case len(e.Events) > 0:
		return fmt.Sprintf("%d events", len(e.Events))
	case e.Entity != "":
		return e.Entity
	}
	return e.Path
}

func total(e *api.Erasure) string {
	if e.Total == nil {
		return "?"
	}
	return fmt.Sprint(*e.Total)
}

// erasureArg names an erasure.
type erasureArg struct {
	Erasure string `arg:"" help:"The erasure: its id, or the start of it."`
}

func (c *erasureArg) find(ctx context.Context, a *app) (*client.Client, uuid.UUID, error) {
	server, err := a.client()
	if err != nil {
		return nil, uuid.Nil, err
	}
	id, err := find("erasure", c.Erasure, server.Erasures.List(ctx), func(e *api.Erasure) (uuid.UUID, string) {
		if e.ID == nil {
			return uuid.Nil, ""
		}
		return *e.ID, ""
	})
	return server, id, err
}

// do calls the API and prints the erasure that it returns.
func (c *erasureArg) do(ctx context.Context, a *app, call func(client.Erasures, context.Context, uuid.UUID) (api.Erasure, error)) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	e, err := call(server.Erasures, ctx, id)
	if err != nil {
		return err
	}
	return a.printErasure(&e)
}

type erasureGet struct{ erasureArg }

// Run prints the erasure.
func (c *erasureGet) Run(ctx context.Context, a *app) error {
	return c.do(ctx, a, client.Erasures.Get)
}

type erasureCancel struct{ erasureArg }

// Run cancels the erasure and prints it.
func (c *erasureCancel) Run(ctx context.Context, a *app) error {
	return c.do(ctx, a, client.Erasures.Cancel)
}

type erasureCertificate struct{ erasureArg }

// Run prints the erasure's certificate.
func (c *erasureCertificate) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	e, err := server.Erasures.Get(ctx, id)
	if err != nil {
		return err
	}
	if e.State != api.JobCompleted {
		return fmt.Errorf("erasure %s is %s: there is no certificate", id, e.State)
	}
	var certificate any
	if err := json.Unmarshal(e.Certificate, &certificate); err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	text, err := json.MarshalIndent(certificate, "", "  ")
	if err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	_, err = fmt.Fprintln(a.Out, string(text))
	return err
}

type erasureVerify struct {
	Certificate string `arg:"" help:"The certificate file, or - for standard input."`
	JWKS        string `name:"jwks" help:"The tenant's key set, as published when the certificate was made (default: the certificate's own key, whose id is printed)." placeholder:"FILE"`
}

// Run verifies the signature of the certificate.
func (c *erasureVerify) Run(a *app) error {
	text, err := a.readFile(c.Certificate)
	if err != nil {
		return err
	}
	var set struct {
		Keys []httpsig.JWK `json:"keys"`
	}
	if c.JWKS != "" {
		keys, err := a.readFile(c.JWKS)
		if err == nil {
			err = json.Unmarshal(keys, &set)
		}
		if err != nil {
			return fmt.Errorf("read key set: %w", err)
		}
		if set.Keys == nil {
			return fmt.Errorf("read key set: %s has no keys", c.JWKS)
		}
	}
	kid, err := erase.Verify(text, set.Keys)
	if err != nil {
		return err
	}
	said := "signed by the key " + kid
	if c.JWKS == "" {
		said += "\nThis key is from the certificate itself: compare it with the tenant's key set, or give --jwks."
	}
	_, err = fmt.Fprintln(a.Out, said)
	return err
}

// maxCertificate bounds the size of a certificate or a key set that is read.
const maxCertificate = 1 << 20

func (a *app) readFile(name string) ([]byte, error) {
	in := a.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, maxCertificate))
}

func (a *app) printErasure(e *api.Erasure) error {
	return a.print(e, func(t *table) {
		t.row("id", erasureID(e))
		t.row("state", withReason(string(e.State), e.Detail))
		t.row("of", erasedWhat(e))
		t.row("done", fmt.Sprintf("%d of %s", e.Done, total(e)))
		t.row("published", date(e.From)+" to "+date(e.To))
		for _, place := range slices.Sorted(maps.Keys(e.Places)) {
			t.row("in "+strings.ReplaceAll(place, "_", " "), fmt.Sprint(e.Places[place]))
		}
		t.row("owner", actorText(e.Owner, e.OwnerName))
		t.row("reason", e.Reason)
	})
}

type erasureWatch struct{ erasureArg }

// Run prints the progress of the erasure until it ends.
func (c *erasureWatch) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	return a.watchErasure(ctx, server, id)
}

// watchErasure shows a progress bar until the erasure has ended, and then the erasure. It returns an error if that
// did not complete.
func (a *app) watchErasure(ctx context.Context, server *client.Client, id uuid.UUID) error {
	bar := a.progress("events")
	defer bar.end()
	tick := time.NewTicker(jobPoll)
	defer tick.Stop()
	for {
		e, err := server.Erasures.Get(ctx, id)
		if err != nil {
			return err
		}
		bar.set(int(e.Done), e.Size(), e.Detail)
		if e.State.Ended() {
			bar.end()
			if err := a.printErasure(&e); err != nil {
				return err
			}
			if e.State != api.JobCompleted {
				return fmt.Errorf("erasure %s is %s", id, withReason(string(e.State), e.Detail))
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			bar.end()
			return fmt.Errorf("watch erasure %s, which goes on: %w", id, ctx.Err())
		}
	}
}
