package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type hookCommand struct {
	List           hookList           `cmd:"" help:"List hooks, newest first."`
	Get            hookGet            `cmd:"" help:"Show one hook."`
	Stats          hookStats          `cmd:"" help:"Show a hook's statistics: outcomes and durations."`
	Create         hookCreate         `cmd:"" help:"Create a hook."`
	Update         hookUpdate         `cmd:"" help:"Change some fields of a hook and leave the others."`
	Delete         hookDelete         `cmd:"" help:"Delete hooks, and cancel their pending deliveries."`
	Pause          hookPause          `cmd:"" help:"Pause a hook, or many; deliveries are parked until it is resumed."`
	Resume         hookResume         `cmd:"" help:"Resume a paused or disabled hook, or many."`
	Backtest       hookBacktest       `cmd:"" help:"Preview which events of the last day a hook would have received."`
	PreviewRetries hookPreviewRetries `cmd:"" help:"Preview a retry schedule."`
	Replay         hookReplay         `cmd:"" help:"Replay deliveries of a hook, or of many, in a time range; it counts first and asks."`
	Recover        hookRecover        `cmd:"" help:"Send what a hook missed while it was disabled; it counts first and asks."`
	Test           hookTest           `cmd:"" help:"Send a test event to a hook, and show the receiver's answer."`
	Rotate         hookRotate         `cmd:"" help:"Rotate a hook's secret; the old one is valid for 24 more hours."`
}

type hookList struct {
	listFlags
	api.HookFilter
}

// Run prints the list.
func (c *hookList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	hooks, err := take(server.Hooks.List(ctx, c.HookFilter), c.Limit)
	if err != nil {
		return err
	}
	return a.print(hooks, func(t *table) {
		t.head("ID", "NAME", "STATUS", "EVENT TYPES", "TARGET")
		for _, h := range hooks {
			status := string(h.Status)
			if h.Unreadable != nil {
				status += ", cannot be read"
			}
			t.row(h.ID.String(), h.Name, status, strings.Join(h.EventTypes, " "), h.TargetURL)
		}
	})
}

type hookGet struct {
	hookArg
}

// Run prints the hook.
func (c *hookGet) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	h, err := server.Hooks.Get(ctx, id)
	if err != nil {
		return err
	}
	return a.printHook(h)
}

func (a *app) printHook(h client.Hook) error {
	return a.print(h, func(t *table) {
		t.row("id", h.ID.String())
		t.row("name", h.Name)
		status := string(h.Status)
		if h.DisabledReason != "" {
			status += ": " + h.DisabledReason
		}
		if h.PausedUntil != nil {
			status += " until " + date(*h.PausedUntil)
		}
		t.row("status", status)
		if h.Unreadable != nil {
			t.row("cannot be read", *h.Unreadable)
		}
		t.row("event types", strings.Join(h.EventTypes, " "))
		t.row("target", h.TargetURL)
		t.row("signed", yesNo(h.HasSecret))
		if h.PublicKey != nil {
			t.row("public key", *h.PublicKey)
		}
		t.row("api key", yesNo(h.HasAPIKey))
		for name, value := range sorted(h.AdditionalHeaders) {
			t.row("header", name+": "+value)
		}
		if h.Callback != nil {
			t.row("callback", firstText(h.Callback.URL, h.Callback.Subject)+" "+strings.Join(h.Callback.On, " "))
		}
		for name, value := range sorted(h.Labels) {
			t.row("label", name+"="+value)
		}
		t.row("retries", compact(h.RetryCountdownConfig, "default"))
		t.row("config", compact(h.Config, "{}"))
		t.row("created", date(h.CreatedDate))
		t.row("modified", date(h.ModifiedDate))
		t.row("version", fmt.Sprint(h.Version))
	})
}

// compact writes JSON on one line; absent and null become otherwise.
func compact(raw json.RawMessage, otherwise string) string {
	b := &bytes.Buffer{}
	if json.Compact(b, raw) != nil || b.Len() == 0 || b.String() == "null" {
		return otherwise
	}
	return b.String()
}

type hookCreate struct {
	hookFlags

	GenerateSecret bool `help:"Generate a secret, print it and sign with it." xor:"secret"`
}

// Run creates the hook and prints it.
func (c *hookCreate) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	fields, err := c.fields(a)
	if err != nil {
		return err
	}
	secret := ""
	if c.GenerateSecret {
		secret = signature.GenerateSecret()
		fields.SecretKey = client.Set(secret)
	}
	h, err := server.Hooks.Create(ctx, fields)
	if err != nil {
		return err
	}
	if secret == "" {
		return a.printHook(h)
	}
	if a.asJSON() {
		return a.print(struct {
			client.Hook

			SecretKey string `json:"secret_key"`
		}{h, secret}, nil)
	}
	if err := a.printHook(h); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "\nsecret, shown only now: %s\n", secret)
	return nil
}

type hookUpdate struct {
	hookArg
	hookFlags

	Status  *string `help:"active, paused or disabled." enum:"active,paused,disabled" placeholder:"STATUS"`
	Version int64   `help:"Fail (exit code 5) unless the hook is still at this version." placeholder:"N"`
}

// Run changes the fields that flags name.
func (c *hookUpdate) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	fields, err := c.fields(a)
	if err != nil {
		return err
	}
	if c.Status != nil {
		fields.Status = client.Set(webhook.HookStatus(*c.Status))
	}
	if reflect.DeepEqual(fields, client.HookFields{}) {
		return usage("give what to change, such as --name or --file")
	}
	h, err := server.Hooks.Update(ctx, id, c.Version, fields)
	if err != nil {
		return err
	}
	return a.printHook(h)
}

type hookDelete struct {
	Hooks []string `arg:"" name:"hook" help:"The hooks: ids, starts of ids, or names."`
	Yes   bool     `help:"Don't ask." short:"y"`
}

// Run asks for confirmation and deletes the hooks.
func (c *hookDelete) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	hooks := make([]client.Hook, len(c.Hooks))
	question := &strings.Builder{}
	for i, ref := range c.Hooks {
		id, err := findHook(ctx, server, ref)
		if err != nil {
			return err
		}
		if hooks[i], err = server.Hooks.Get(ctx, id); err != nil {
			return fmt.Errorf("hook %s: %w", ref, err)
		}
		fmt.Fprintf(question, "  %s  %s  %s\n", id, oneLine(hooks[i].Name), oneLine(hooks[i].TargetURL))
	}
	question.WriteString("Delete, and cancel what is not delivered yet?")
	if err := a.confirm(c.Yes, question.String()); err != nil {
		return err
	}
	for i := range hooks {
		if err := server.Hooks.Delete(ctx, hooks[i].ID); err != nil {
			return fmt.Errorf("delete hook %s: %w", hooks[i].ID, err)
		}
		a.done("deleted hook %s", hooks[i].ID)
	}
	return nil
}

type hookPause struct {
	manyHooks

	Until *deadline `help:"Resume it automatically then: a duration from now, such as 2h or 1d, or a time, such as '2026-01-31 08:00' (local)." placeholder:"WHEN"`
}

// Run pauses the hook, or those that flags select.
func (c *hookPause) Run(ctx context.Context, a *app) error {
	if c.Hook == "" && c.Until != nil {
		return usage("--until: is for one hook")
	}
	if c.Hook == "" {
		return c.change(ctx, a, "Pause", client.Hooks.PauseMany)
	}
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	pause := func() (client.Hook, error) { return server.Hooks.Pause(ctx, id) }
	if c.Until != nil {
		pause = func() (client.Hook, error) { return server.Hooks.PauseUntil(ctx, id, c.Until.Time) }
	}
	h, err := pause()
	if err != nil {
		return err
	}
	return a.printHook(h)
}

type hookResume struct{ manyHooks }

// Run resumes the hook, or those that flags select.
func (c *hookResume) Run(ctx context.Context, a *app) error {
	if c.Hook == "" {
		return c.change(ctx, a, "Resume", client.Hooks.ResumeMany)
	}
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	h, err := server.Hooks.Resume(ctx, id)
	if err != nil {
		return err
	}
	if err := a.printHook(h); err != nil {
		return err
	}
	missed, err := server.Hooks.Recovery(ctx, id)
	if err == nil && missed.Missed > 0 {
		fmt.Fprintf(a.Err, "while it was disabled it missed %s%s: whisperer hook recover %s\n", number(missed.Missed, "delivery", "deliveries"), unsettled(missed), id)
	}
	return err
}

type hookPreviewRetries struct {
	Retry string `help:"The schedule as JSON, @FILE or -; without it the default one." placeholder:"JSON"`
}

// Run shows the timetable.
func (c *hookPreviewRetries) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	var config json.RawMessage
	if c.Retry != "" {
		if config, err = a.readJSON("retry", c.Retry); err != nil {
			return err
		}
	}
	steps, err := server.Hooks.PreviewRetries(ctx, config)
	if err != nil {
		return err
	}
	return a.print(steps, func(t *table) {
		t.head("RETRY", "WAIT", "SINCE FIRST ATTEMPT")
		for _, s := range steps {
			t.row(fmt.Sprint(s.Retry), span(s.DelayMin, s.DelayMax), span(s.AfterMin, s.AfterMax))
		}
	})
}

// span formats two numbers of seconds as one duration, or as a range.
func span(low, high float64) string {
	from := time.Duration(low * float64(time.Second)).Round(time.Millisecond)
	to := time.Duration(high * float64(time.Second)).Round(time.Millisecond)
	if from == to {
		return short(from)
	}
	return short(from) + " to " + short(to)
}

type hookRotate struct {
	hookArg

	Algorithm string `help:"Algorithm of the new secret: hmac-sha256 (signs v1) or ed25519 (signs v1a; receivers verify with the public key)." enum:"hmac-sha256,ed25519" default:"hmac-sha256" placeholder:"NAME"`
}

// Run gives the hook a new secret and prints it.
func (c *hookRotate) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	r, err := server.Hooks.RotateSecret(ctx, id, c.Algorithm)
	if err != nil {
		return err
	}
	return a.print(r, func(t *table) {
		if r.SecretKey != nil {
			t.row("secret, shown only now", *r.SecretKey)
		}
		if r.PublicKey != nil {
			t.row("public key, for receivers", *r.PublicKey)
		}
		if r.OldUntil != nil {
			t.row("the old one signs until", date(*r.OldUntil))
		}
	})
}
