package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type hookReplay struct {
	Hook string `arg:"" optional:"" help:"The hook: its id, the start of its id, or its name; leave it out to choose many by --label or --all."`
	labelFlags
	All bool `help:"All hooks of the tenant."`

	Since          moment                  `help:"The earliest events: how long ago, such as 2h or 7d, or a time." required:"" placeholder:"WHEN"`
	Until          moment                  `help:"The latest, in the same format (default: a minute ago)." placeholder:"WHEN"`
	EventType      []string                `help:"Only events of this type or pattern; may be repeated." short:"e" placeholder:"TYPE"`
	State          []webhook.DeliveryState `help:"Only deliveries that are dead, delivered, waiting, parked; may be repeated (default: dead)." enum:"dead,delivered,waiting,parked" placeholder:"STATE"`
	IncludeMissing bool                    `help:"Also send matching events that the hook never received: from before it existed, or while it was disabled."`
	Rate           int                     `help:"Deliveries a second (default: 100)." placeholder:"N"`
	Reason         string                  `help:"Reason, for the audit log; required unless --dry-run." placeholder:"TEXT"`
	replayFlags
}

// Help describes what happens.
func (c *hookReplay) Help() string {
	return "It counts first and asks. Replays keep their webhook-id and have the header X-Whisperer-Replay."
}

// Run counts, asks for confirmation, begins the job and shows its progress.
func (c *hookReplay) Run(ctx context.Context, a *app) error {
	from, to, err := rangeFlags{Since: c.Since, Until: c.Until}.times()
	if err != nil {
		return err
	}
	fields := client.ReplayFields{
		From: from, To: to, EventTypes: c.EventType, States: c.State, IncludeMissing: c.IncludeMissing, Rate: c.Rate,
		Reason: c.Reason, DryRun: true,
	}
	if c.Hook == "" {
		return c.many(ctx, a, fields)
	}
	hook := hookArg{c.Hook}
	server, id, err := hook.find(ctx, a)
	if err != nil {
		return err
	}
	return a.replay(ctx, server, id, fields, c.replayFlags)
}

type hookRecover struct {
	hookArg

	Rate   int    `help:"Deliveries a second (default: 100)." placeholder:"N"`
	Reason string `help:"Reason, for the audit log; required unless --dry-run." placeholder:"TEXT"`
	replayFlags
}

// Help describes what happens.
func (c *hookRecover) Help() string {
	return "It sends deliveries that failed or ended when the hook was last disabled, and events published until it was active " +
		"again. It counts first and asks."
}

// Run looks up what was missed, and replays it.
func (c *hookRecover) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	missed, err := server.Hooks.Recovery(ctx, id)
	if err != nil {
		return err
	}
	later := unsettled(missed)
	switch {
	case missed.DisabledFrom == nil:
		fmt.Fprintln(a.Err, "the hook was never disabled")
		return nil
	case missed.DisabledTo == nil:
		fmt.Fprintf(a.Err, "the hook has been disabled since %s; resume it first: whisperer hook resume %s\n", date(*missed.DisabledFrom), id)
		return nil
	case c.DryRun:
		fmt.Fprintf(a.Err, "the hook missed %s%s\n", number(missed.Missed, "delivery", "deliveries"), later)
		return nil
	case c.Reason == "":
		return errNoReason
	case missed.Replay == nil && later == "":
		fmt.Fprintln(a.Err, "the hook missed nothing")
		return nil
	case later != "":
		fmt.Fprintf(a.Err, "waiting for what was missed last%s\n", later)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(*missed.CompleteFrom)):
			return c.Run(ctx, a)
		}
	}
	fields := client.ReplayFields{
		From: missed.Replay.From, To: missed.Replay.To, States: missed.Replay.States, IncludeMissing: missed.Replay.IncludeMissing,
		Rate: c.Rate, Reason: c.Reason, DryRun: true,
	}
	return a.replay(ctx, server, id, fields, c.replayFlags)
}

// unsettled returns the time from which on everything that a hook missed can be recovered, or "" if that has passed.
func unsettled(r api.Recovery) string {
	if r.CompleteFrom == nil || !time.Now().Before(*r.CompleteFrom) {
		return ""
	}
	return ", which can be recovered from " + date(*r.CompleteFrom) + " on"
}

// replayFlags are the flags of every command that begins a replay.
type replayFlags struct {
	DryRun bool `help:"Only count."`
	Yes    bool `help:"Don't ask." short:"y"`
	Detach bool `help:"Don't wait for the end; whisperer job watch shows the progress."`
}

// replay counts, asks for confirmation, begins the job and shows its progress.
func (a *app) replay(ctx context.Context, server *client.Client, hook uuid.UUID, fields client.ReplayFields, flags replayFlags) error {
	counted, err := server.Hooks.Replay(ctx, hook, fields)
	if err != nil {
		return err
	}
	switch {
	case flags.DryRun:
		return a.printJob(&counted)
	case fields.Reason == "":
		return errNoReason
	case counted.Size() == 0:
		fmt.Fprintln(a.Err, "there is nothing to replay")
		return a.printJob(&counted)
	}
	if err := a.confirm(flags.Yes, fmt.Sprintf("Replay %s, %d a second?", number(counted.Size(), "delivery", "deliveries"), counted.Rate)); err != nil {
		return err
	}
	fields.DryRun = false
	j, err := server.Hooks.Replay(ctx, hook, fields)
	if err != nil {
		return err
	}
	if flags.Detach || j.ID == nil {
		return a.printJob(&j)
	}
	return a.watchJob(ctx, server, *j.ID)
}

// errNoReason says that the audit log needs a reason.
var errNoReason = usage("--reason: say what the replay is for")

// errDeclined says that the person answered no.
var errDeclined = errors.New("nothing was done")

// confirm asks a yes-or-no question on standard error, unless yes is set. If nobody can answer, it returns a usage
// error.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	fmt.Fprintf(a.Err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if errors.Is(err, io.EOF) && answer == "" {
		fmt.Fprintln(a.Err)
		return usage("give --yes where nobody can answer")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}
