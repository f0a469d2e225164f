package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// labelFlags select hooks by their labels.
type labelFlags struct {
	Label webhook.LabelSelector `help:"Only hooks with this label, as name=value, or name alone for any value; may be repeated." placeholder:"LABEL"`
}

// readLabel adds one flag's labels to a selector.
func readLabel(flag *kong.DecodeContext, target reflect.Value) error {
	text := ""
	if err := flag.Scan.PopValueInto("label", &text); err != nil {
		return err
	}
	name, value, valued := strings.Cut(text, "=")
	labels, ok := reflect.TypeAssert[webhook.LabelSelector](target)
	if !ok || labels == nil {
		labels = webhook.LabelSelector{}
		target.Set(reflect.ValueOf(labels))
	}
	if _, twice := labels[name]; twice {
		return fmt.Errorf("%s is there twice", name)
	}
	if labels[name] = value; valued && value == "" || labels.Check() != nil {
		return fmt.Errorf("%q is not name=value, or name alone", text)
	}
	return nil
}

// manyHooks are one hook, or those that flags select.
type manyHooks struct {
	Hook string `arg:"" optional:"" help:"The hook: its id, the start of its id, or its name; leave it out to choose many by flags."`
	labelFlags
	EventType string `help:"Hooks that name this type or pattern." placeholder:"TYPE"`
	TargetURL string `help:"Hooks with exactly this target." placeholder:"URL"`
	Search    string `help:"Hooks with this in their name or target." placeholder:"TEXT"`
	Status    string `help:"Hooks that are active, paused or disabled." enum:"active,paused,disabled," default:"" placeholder:"STATUS"`
	All       bool   `help:"All hooks of the tenant."`
	DryRun    bool   `help:"Only count them."`
	Yes       bool   `help:"Don't ask." short:"y"`
}

// find returns a client and looks up the single hook.
func (c *manyHooks) find(ctx context.Context, a *app) (*client.Client, uuid.UUID, error) {
	if c.chooses() {
		return nil, uuid.Nil, usage("HOOK is one hook: leave it out, or the flags that choose several")
	}
	hook := hookArg{c.Hook}
	return hook.find(ctx, a)
}

func (c *manyHooks) chooses() bool {
	return len(c.Label) > 0 || c.EventType+c.TargetURL+c.Search+c.Status != "" || c.All || c.DryRun
}

// change counts the hooks that the flags select, asks for confirmation, and changes them.
func (c *manyHooks) change(ctx context.Context, a *app, verb string, do func(client.Hooks, context.Context, client.HookChoice, bool) (api.BulkCount, error)) error {
	if !c.chooses() {
		return usage("give a hook, or flags that choose several: --label, --event-type, --target-url, --search, --status or --all")
	}
	choice := client.HookChoice{
		Labels: c.Label, EventType: c.EventType, TargetURL: c.TargetURL, Search: c.Search, Status: webhook.HookStatus(c.Status), All: c.All,
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	return a.bulk(c.DryRun, c.Yes, verb+" %d hooks?", func(dryRun bool) (api.BulkCount, error) {
		return do(server.Hooks, ctx, choice, dryRun)
	})
}

// bulk counts, asks for confirmation, and repeats the change as long as there may be more to change.
func (a *app) bulk(dryRun, yes bool, question string, do func(dryRun bool) (api.BulkCount, error)) error {
	counted, err := do(true)
	if err != nil {
		return err
	}
	if dryRun || counted.Count == 0 {
		return a.printCount(counted)
	}
	if counted.More {
		question = strings.Replace(question, "%d", "%d or more", 1)
	}
	if err := a.confirm(yes, fmt.Sprintf(question, counted.Count)); err != nil {
		return err
	}
	var all api.BulkCount
	for {
		done, err := do(false)
		if err != nil {
			return err
		}
		all.Count += done.Count
		if !done.More {
			return a.printCount(all)
		}
	}
}

func (a *app) printCount(n api.BulkCount) error {
	return a.print(n, func(t *table) {
		t.row("count", fmt.Sprint(n.Count))
		if n.More {
			t.row("more", "there may be more")
		}
	})
}

// many counts the deliveries of the hooks that flags select, asks for confirmation, and begins a job for each hook.
func (c *hookReplay) many(ctx context.Context, a *app, fields client.ReplayFields) error {
	if len(c.Label) == 0 && !c.All {
		return usage("give a hook, --label or --all")
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	choice := client.HookChoice{Labels: c.Label, All: c.All}
	counted, err := server.Hooks.ReplayMany(ctx, choice, fields)
	switch {
	case err != nil:
		return err
	case c.DryRun:
		return a.printReplays(counted)
	case c.Reason == "":
		return errNoReason
	case len(counted.Jobs) == 0:
		fmt.Fprintln(a.Err, "there is nothing to replay")
		return a.printReplays(counted)
	}
	question := fmt.Sprintf("Replay %s of %s?", number(counted.Total, "delivery", "deliveries"), number(len(counted.Jobs), "hook", "hooks"))
	if err := a.confirm(c.Yes, question); err != nil {
		return err
	}
	fields.DryRun = false
	done, err := server.Hooks.ReplayMany(ctx, choice, fields)
	if err != nil {
		return err
	}
	return a.printReplays(done)
}

func (a *app) printReplays(r api.BulkReplay) error {
	return a.print(r, func(t *table) {
		t.head("JOB", "HOOK", "DELIVERIES", "STATE")
		for i := range r.Jobs {
			id := "-"
			if r.Jobs[i].ID != nil {
				id = r.Jobs[i].ID.String()
			}
			t.row(id, r.Jobs[i].Hook.String(), fmt.Sprint(r.Jobs[i].Size()), string(r.Jobs[i].State))
		}
		for _, refused := range r.Refused {
			t.row("-", refused.Hook.String(), "0", refused.Reason)
		}
	})
}

type deliveryRetry struct {
	Delivery string `arg:"" optional:"" help:"The delivery: its id, or the start of it; leave it out to choose many by flags, which need --since."`
	Hook     string `help:"Those to this hook: its id, the start of its id, or its name." placeholder:"HOOK"`
	api.RetryChoice

	Since  moment `help:"The earliest events: how long ago, such as 2h or 7d, or a time." placeholder:"WHEN"`
	Until  moment `help:"The latest, in the same format (default: now)." placeholder:"WHEN"`
	Force  bool   `help:"Send it even if it was delivered, or superseded by a newer one."`
	DryRun bool   `help:"Only count them."`
	Yes    bool   `help:"Don't ask." short:"y"`
}

// Run retries one delivery, or counts those that flags select, asks for confirmation, and retries them.
func (c *deliveryRetry) Run(ctx context.Context, a *app) error {
	from, to, err := rangeFlags{Since: c.Since, Until: c.Until}.times()
	if err != nil {
		return err
	}
	choice := c.RetryChoice
	choice.From, choice.To, choice.Force = from, to, c.Force
	if c.Delivery == "" {
		return c.many(ctx, a, choice)
	}
	if c.Hook != "" || !reflect.ValueOf(c.RetryChoice).IsZero() || !from.IsZero() || !to.IsZero() || c.DryRun {
		return usage("DELIVERY is one delivery: leave it out, or the flags that choose several")
	}
	delivery := deliveryArg{c.Delivery}
	server, id, err := delivery.find(ctx, a)
	if err != nil {
		return err
	}
	d, err := server.Deliveries.Retry(ctx, id, c.Force)
	if err != nil {
		if problem, ok := errors.AsType[*client.ProblemError](err); ok {
			problem.Detail = strings.Replace(problem.Detail, `send {"force": true}`, "give --force", 1)
		}
		return err
	}
	return a.printDelivery(d)
}

// many counts the deliveries that the flags select, asks for confirmation, and retries them.
func (c *deliveryRetry) many(ctx context.Context, a *app, choice client.RetryChoice) error {
	if choice.From.IsZero() {
		return usage("give a delivery, or --since with the flags that choose several")
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	if c.Hook != "" {
		id, err := findHook(ctx, server, c.Hook)
		if err != nil {
			return err
		}
		choice.Hook = &id
	}
	return a.bulk(c.DryRun, c.Yes, "Retry %d deliveries?", func(dryRun bool) (api.BulkCount, error) {
		return server.Deliveries.RetryMany(ctx, choice, dryRun)
	})
}
