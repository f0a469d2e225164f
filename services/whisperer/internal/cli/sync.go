package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/manifest"
)

// errDiffers says that a tenant differs from its file; exit code 7.
var errDiffers = errors.New("the tenant differs from the file")

type syncCommand struct {
	File    string `arg:"" help:"The YAML file, or - for standard input."`
	DryRun  bool   `help:"Only show the differences."`
	Check   bool   `help:"Only show the differences; exit code 7 if there are any."`
	Prune   bool   `help:"Delete hooks and declared event types that are not in the file, and retention policies if the file has any."`
	Secrets bool   `help:"Also write secrets that are already set, as nobody can see whether they differ."`
	Yes     bool   `help:"Don't ask." short:"y"`
}

// Help describes the file.
func (c *syncCommand) Help() string {
	return `The file (whisperer export writes one):

  handshake: new_hosts            # an operator's to change; with a tenant
  retention:                      # an admin's to change: what is older is erased
    - {event_type: customer.*, days: 30}
  event_types:
    - name: shop.opened
      description: A shop was opened.
  hooks:
    - name: erp                   # tells hooks apart
      event_types: [package.>, order.created]
      target_url: https://erp.example.com/hooks
      secret_key: ${ERP_SECRET}   # from the environment

The fields are those of the API. An absent field means its default; an absent status, secret_key or api_key is left unchanged.`
}

// Run shows the differences, asks for confirmation, and changes the tenant.
func (c *syncCommand) Run(ctx context.Context, a *app) error {
	f, err := a.readManifest(c.File)
	if err != nil {
		return err
	}
	if len(f.Missing) > 0 {
		return usage("%s: the environment lacks %s", c.File, strings.Join(f.Missing, ", "))
	}
	server, plan, err := a.plan(ctx, f, manifest.PlanOptions{Prune: c.Prune, Secrets: c.Secrets})
	if err != nil {
		return err
	}
	if err := a.printPlan(plan, len(f.Hooks)); err != nil {
		return err
	}
	work := slices.DeleteFunc(slices.Clone(plan), func(c manifest.Change) bool { return c.Kind == manifest.Leave })
	switch {
	case len(work) == 0:
		return nil
	case c.Check:
		return errDiffers
	case c.DryRun:
		return nil
	}
	if err := a.confirm(c.Yes, fmt.Sprintf("Make %s?", number(len(work), "change", "changes"))); err != nil {
		return err
	}
	return a.apply(ctx, server, work)
}

// readManifest reads a file; "-" is standard input.
func (a *app) readManifest(name string) (*manifest.File, error) {
	var raw []byte
	var err error
	if name == "-" {
		raw, err = io.ReadAll(a.In)
	} else {
		raw, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, usage("%s", err)
	}
	// Only the canonical form matters here; the API decides what may be reached.
	everything, err := egress.ParsePolicy("0.0.0.0/0,::/0", "80,443")
	if err != nil {
		return nil, err
	}
	f, err := manifest.Read(raw, manifest.Options{
		Env: a.env,
		CanonicalURL: func(u string) string {
			if canonical, err := everything.CheckURL(u); err == nil {
				return canonical
			}
			return u
		},
	})
	if err != nil {
		return nil, usage("%s is wrong:\n%s", name, err)
	}
	return f, nil
}

// env looks up a variable. An empty one counts as not set, because an empty secret would be a mistake.
func (a *app) env(name string) (value string, set bool) {
	for _, v := range a.Environ {
		if text, ok := strings.CutPrefix(v, name+"="); ok {
			value = text // the last one counts
		}
	}
	return value, value != ""
}

// plan fetches the tenant's state and compares it with the file. If the file names a tenant, it must be this one.
func (a *app) plan(ctx context.Context, f *manifest.File, o manifest.PlanOptions) (*client.Client, []manifest.Change, error) {
	if a.Tenant == "" {
		a.Tenant = f.Tenant
	}
	if f.Tenant != "" && f.Tenant != a.Tenant {
		return nil, nil, usage("the file is of tenant %s, not of %s", f.Tenant, a.Tenant)
	}
	server, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	if f.Policies.Handshake != "" && a.Tenant == "" {
		return nil, nil, usage("whose handshake it is has to be said: write tenant into the file, or give --tenant")
	}
	has, err := a.has(ctx, server, f.Policies.Handshake != "", f.Policies.Retention != nil)
	if err != nil {
		return nil, nil, err
	}
	plan, err := f.Plan(has, o)
	return server, plan, err
}

// has fetches the tenant's state, including the requested policies.
func (a *app) has(ctx context.Context, server *client.Client, handshake, retention bool) (has manifest.Has, err error) {
	has.Tenant = a.Tenant
	if retention {
		if has.Policies.Retention, err = server.Retention.List(ctx); err != nil {
			return has, fmt.Errorf("read retention policies, which an admin may: %w", err)
		}
	}
	if handshake {
		tenants, err := take(server.Tenants.List(ctx), math.MaxInt)
		if err != nil {
			return has, fmt.Errorf("read the handshake policy, which an operator may: %w", err)
		}
		for _, t := range tenants {
			if t.Name == a.Tenant {
				has.Policies.Handshake = webhook.Handshake(t.Handshake)
			}
		}
	}
	if has.Hooks, err = take(server.Hooks.List(ctx, client.HookFilter{PageSize: 250}), math.MaxInt); err != nil {
		return has, err
	}
	has.Types, err = server.EventTypes.List(ctx)
	return has, err
}

// signs mark the changes in a printed plan.
var signs = map[manifest.Kind]string{manifest.Create: "+", manifest.Update: "~", manifest.Delete: "-", manifest.Leave: "?"}

func (a *app) printPlan(plan []manifest.Change, hooks int) error {
	if a.asJSON() {
		if plan == nil {
			plan = []manifest.Change{}
		}
		return a.print(plan, nil)
	}
	for _, c := range plan {
		id, note := "", ""
		if c.Hook != nil {
			id = " " + c.Hook.String()
		}
		if c.Kind == manifest.Leave {
			note = " is not in the file (--prune deletes it)"
		}
		fmt.Fprintf(a.Out, "%s %s %s%s%s\n", signs[c.Kind], c.Noun, oneLine(c.Name), id, note)
		for _, f := range c.Fields {
			if c.Kind == manifest.Create {
				fmt.Fprintf(a.Out, "    %s: %s\n", f.Name, oneLine(f.New))
				continue
			}
			fmt.Fprintf(a.Out, "    %s: %s -> %s\n", f.Name, oneLine(f.Old), oneLine(f.New))
		}
	}
	if len(plan) == 0 {
		fmt.Fprintf(a.Out, "nothing to do: the tenant already has %s of the file\n", number(hooks, "hook", "hooks"))
	}
	return nil
}

// apply makes the changes one after the other and stops at the first error; earlier changes remain.
func (a *app) apply(ctx context.Context, server *client.Client, work []manifest.Change) error {
	bar := a.progress("changes")
	defer bar.end()
	for i := range work {
		if err := work[i].Apply(ctx, server); err != nil {
			bar.end()
			return err
		}
		bar.set(i+1, len(work), "")
	}
	return nil
}

type exportCommand struct {
	Output string `help:"Write to this file instead of standard output." short:"o" placeholder:"FILE"`
}

// Help describes what is left out.
func (c *exportCommand) Help() string {
	return "Secrets, API keys and passwords are left out, since nobody can read them: ${VAR} stands for each, and the\n" +
		"variables are listed. Values of additional headers are included as an editor sees them."
}

// Run writes the manifest of the tenant's current state.
func (c *exportCommand) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	has, err := a.has(ctx, server, a.Tenant != "", true)
	for _, retention := range []bool{true, false} { // what the token may not see is left out
		if errors.Is(err, client.ErrRefused) {
			has, err = a.has(ctx, server, false, retention)
		}
	}
	if err != nil {
		return err
	}
	text, vars, err := manifest.Write(&has)
	if err != nil {
		return err
	}
	if c.Output == "" {
		if _, err := a.Out.Write(text); err != nil {
			return err
		}
	} else if err := os.WriteFile(c.Output, text, 0o600); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	if len(vars) > 0 {
		fmt.Fprintf(a.Err, "set these variables before sync or import: %s\n", strings.Join(vars, " "))
	}
	return nil
}

type importCommand struct {
	File       string `arg:"" help:"The YAML file, or - for standard input."`
	NewSecrets bool   `help:"Generate secrets that the environment lacks, and print them for the receivers."`
	DryRun     bool   `help:"Only show what would be created."`
	Yes        bool   `help:"Don't ask." short:"y"`
}

// Run creates the tenant, if the token may, and adds what it lacks.
func (c *importCommand) Run(ctx context.Context, a *app) error {
	f, err := a.readManifest(c.File)
	if err != nil {
		return err
	}
	if len(f.Missing) > 0 && !c.NewSecrets {
		return usage("%s: the environment lacks %s (--new-secrets makes new ones)", c.File, strings.Join(f.Missing, ", "))
	}
	if others := f.MissingBesideSecrets(); len(others) > 0 {
		return usage("%s: the environment lacks %s, and nobody can make those", c.File, strings.Join(others, ", "))
	}
	if err := c.tenant(ctx, a, f); err != nil {
		return err
	}
	server, work, err := a.plan(ctx, f, manifest.PlanOptions{OnlyNew: true})
	if err != nil {
		return err
	}
	if err := a.printPlan(work, len(f.Hooks)); err != nil || len(work) == 0 || c.DryRun {
		return err
	}
	if err := a.confirm(c.Yes, fmt.Sprintf("Create %s?", number(len(work), "entry", "entries"))); err != nil {
		return err
	}
	made := map[string]string{}
	for i := range work {
		if work[i].LacksSecret(f) {
			made[work[i].Name] = signature.GenerateSecret()
			work[i].SetSecret(made[work[i].Name])
		}
	}
	err = a.apply(ctx, server, work)
	for name, secret := range sorted(made) {
		fmt.Fprintf(a.Out, "secret of %s, shown only now: %s\n", oneLine(name), secret)
	}
	return err
}

// tenant creates the named tenant with an operator's token; other tokens have a tenant already.
func (c *importCommand) tenant(ctx context.Context, a *app, f *manifest.File) error {
	name := firstText(a.Tenant, f.Tenant)
	if name == "" || c.DryRun {
		return nil
	}
	server, err := a.clientFor("") // the tenant may not exist yet
	if err != nil {
		return err
	}
	if err := server.Tenants.Ensure(ctx, name); err != nil && !errors.Is(err, client.ErrRefused) {
		return fmt.Errorf("make tenant %s: %w", name, err)
	}
	return nil
}
