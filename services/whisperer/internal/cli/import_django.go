package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/django"
)

type importDjangoCommand struct {
	File         string   `arg:"" help:"The dump; - for standard input."`
	Format       string   `help:"Body format that the receivers expect: whisperer (event, data) or oms (event_type, data)." enum:"oms,whisperer,standard,cloudevents,raw" required:"" placeholder:"FORMAT"`
	User         []string `help:"Only the hooks of the Django user with this id; may be repeated." placeholder:"ID"`
	DeclareTypes bool     `help:"Declare unknown event types instead of refusing their hooks."`
	DryRun       bool     `help:"Only show what would be done."`
	EgressAllow  string   `help:"Private networks that target URLs may reach, as configured in the services." env:"WHISPERER_EGRESS_ALLOW" placeholder:"CIDRS"`
	EgressPorts  string   `help:"Ports that target URLs may use, as configured in the services." env:"WHISPERER_EGRESS_PORTS" default:"80,443,8080,8443" placeholder:"PORTS"`
	DatabaseURL  string   `help:"The database, as postgres://…" env:"WHISPERER_DATABASE_URL" name:"database-url" required:"" placeholder:"URL"`
	MasterKey    string   `help:"The services' master key." env:"WHISPERER_MASTER_KEY" required:"" placeholder:"KEY"`
}

// Help describes how to make the dump, and what happens to existing hooks.
func (c *importDjangoCommand) Help() string {
	return "The dump is from `manage.py dumpdata whisperer.webhook` or `pg_dump --data-only --table whisperer_webhook`.\n" +
		"Hooks keep their secrets, times and, if they are UUIDs, ids. Running it again is harmless: existing hooks are not\n" +
		"changed. Exit code 1 if a hook could not be imported; the others are."
}

// What was done with a row.
const (
	rowImported  = "imported"
	rowUnchanged = "unchanged"
	rowDiffers   = "differs"
	rowRefused   = "refused"
)

// importedRow says what was done with a row of the dump, and why.
type importedRow struct {
	PK        string    `json:"pk"`
	ID        uuid.UUID `json:"id"`
	Done      string    `json:"done"`
	EventType string    `json:"event_type"`
	TargetURL string    `json:"target_url"`
	Notes     []string  `json:"notes,omitempty"`
}

// importer checks and stores rows.
type importer struct {
	*importDjangoCommand

	db     *store.DB
	tenant string
	urls   egress.Policy
	types  []string // known types
	taken  map[string]uuid.UUID
}

// Run imports the predecessor's hooks.
func (c *importDjangoCommand) Run(ctx context.Context, a *app) error {
	rows, err := c.read(a)
	if err != nil {
		return err
	}
	ring, err := seal.ParseRing(c.MasterKey)
	if err != nil {
		return usage("--master-key: %s", err)
	}
	i := &importer{importDjangoCommand: c, tenant: firstText(a.Tenant, webhook.DefaultTenant), taken: map[string]uuid.UUID{}}
	if i.urls, err = egress.ParsePolicy(c.EgressAllow, c.EgressPorts); err != nil {
		return usage("%s", err)
	}
	if i.db, err = store.Open(c.DatabaseURL, 1, ring); err != nil {
		return err
	}
	defer i.db.Close()
	if err := i.prepare(ctx); err != nil {
		return err
	}
	done := []importedRow{}
	for n := range rows {
		if len(c.User) > 0 && !slices.Contains(c.User, rows[n].User) {
			continue
		}
		row, err := i.take(ctx, &rows[n])
		if err != nil {
			return errors.Join(a.printImported(done, c.DryRun), err)
		}
		done = append(done, row)
	}
	if err := a.printImported(done, c.DryRun); err != nil {
		return err
	}
	if left := count(done, rowRefused) + count(done, rowDiffers); left > 0 {
		return fmt.Errorf("%d of %d hooks were not taken over", left, len(done))
	}
	return nil
}

func (c *importDjangoCommand) read(a *app) ([]django.Row, error) {
	in := a.In
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, usage("%s", err)
		}
		defer file.Close()
		in = file
	}
	rows, err := django.Read(in)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", c.File, err)
	}
	return rows, nil
}

// prepare creates the tenant if necessary, and looks up the known types.
func (i *importer) prepare(ctx context.Context) error {
	if err := i.db.Ready(ctx); err != nil {
		return err
	}
	if !i.DryRun {
		if _, err := i.db.Access.EnsureTenant(ctx, importActor, i.tenant); err != nil {
			return fmt.Errorf("create tenant %s: %w", i.tenant, err)
		}
	}
	declared, err := i.db.Types.List(ctx, i.tenant)
	if err != nil {
		return err
	}
	for _, t := range slices.Concat(catalogue.All(), catalogue.Operational()) {
		i.types = append(i.types, t.Name)
	}
	for _, t := range declared {
		i.types = append(i.types, t.Name)
	}
	return nil
}

const importActor = store.Actor("import-django")

// take imports one row, or says why it was not imported; the error is a database error.
func (i *importer) take(ctx context.Context, r *django.Row) (importedRow, error) {
	h, notes, err := r.Hook(i.tenant, webhook.Format(i.Format))
	done := importedRow{PK: r.PK, ID: h.ID, EventType: r.EventType, TargetURL: r.TargetURL, Notes: notes, Done: rowRefused}
	var reasons []string
	if invalid, ok := errors.AsType[*webhook.ValidationError](err); ok {
		for _, f := range invalid.Fields {
			reasons = append(reasons, f.Error())
		}
	}
	reasons = append(reasons, i.judge(&h)...)
	if len(reasons) > 0 {
		done.Notes = reasons
		return done, nil
	}
	before, err := i.db.Hooks.Get(ctx, i.tenant, h.ID)
	switch {
	case err == nil:
		done.Done, done.Notes = rowUnchanged, nil
		if names := webhook.Changed(&before, &h); len(names) > 0 {
			done.Done = rowDiffers
			done.Notes = []string{"is there with another " + strings.Join(names, ", ") + ", and is left as it is"}
		}
		return done, nil
	case !errors.Is(err, webhook.ErrNotFound):
		return done, err
	}
	return i.store(ctx, h, done)
}

// judge applies the rules that need a look-up, as the API does.
func (i *importer) judge(h *webhook.Hook) (reasons []string) {
	for _, t := range h.EventTypes {
		if webhook.ValidateEventType(t) == nil && !i.DeclareTypes && !slices.Contains(i.types, t) {
			near := strings.Join(catalogue.Nearest(t, i.types, 3), ", ")
			reasons = append(reasons, fmt.Sprintf("/event_type: %q is not a known event type; the nearest are %s", t, near))
		}
	}
	canonical, err := i.urls.CheckURL(h.TargetURL)
	if err != nil {
		reasons = append(reasons, "/target_url: "+err.Error())
	} else {
		h.TargetURL = canonical
	}
	if h.Config.Filter != "" {
		if _, err := filter.Check(h.Config.Filter); err != nil {
			reasons = append(reasons, "/config/filter: "+err.Error())
		}
	}
	return reasons
}

func (i *importer) store(ctx context.Context, h webhook.Hook, done importedRow) (importedRow, error) {
	identity := h.TargetURL + "\n" + strings.Join(h.EventTypes, ",")
	other, taken := i.taken[identity]
	if !taken {
		var err error
		if other, taken, err = i.holder(ctx, &h); err != nil {
			return done, err
		}
	}
	if taken {
		done.Notes = []string{"hook " + other.String() + " has the same target URL and event type"}
		return done, nil
	}
	i.taken[identity] = h.ID
	done.Done = rowImported
	if i.DryRun {
		return done, nil
	}
	for _, t := range h.EventTypes {
		if err := i.declare(ctx, t); err != nil {
			return done, err
		}
	}
	_, err := i.db.Hooks.Import(ctx, importActor, h)
	if errors.Is(err, webhook.ErrConflict) {
		done.Done, done.Notes = rowRefused, []string{"its id or its target URL and event type have another hook: " + err.Error()}
		return done, nil
	}
	return done, err
}

// holder returns the stored hook that already has this target and these types.
func (i *importer) holder(ctx context.Context, h *webhook.Hook) (uuid.UUID, bool, error) {
	hooks, _, err := i.db.Hooks.List(ctx, i.tenant, store.HookFilter{TargetURL: h.TargetURL, EventType: h.EventTypes[0]}, store.Page{Limit: 250})
	for n := range hooks {
		if slices.Equal(hooks[n].EventTypes, h.EventTypes) {
			return hooks[n].ID, true, nil
		}
	}
	return uuid.Nil, false, err
}

func (i *importer) declare(ctx context.Context, name string) error {
	if webhook.IsPattern(name) || slices.Contains(i.types, name) {
		return nil
	}
	i.types = append(i.types, name)
	_, err := i.db.Types.Declare(ctx, importActor, i.tenant, store.EventType{Name: name, Description: "Imported from Django."})
	return err
}

func count(rows []importedRow, done string) (n int) {
	for _, r := range rows {
		if r.Done == done {
			n++
		}
	}
	return n
}

func (a *app) printImported(rows []importedRow, dryRun bool) error {
	if err := a.print(rows, func(t *table) {
		t.head("ROW", "HOOK", "DONE", "EVENT TYPE", "TARGET", "NOTES")
		for _, r := range rows {
			t.row(r.PK, r.ID.String(), r.Done, r.EventType, r.TargetURL, strings.Join(r.Notes, "; "))
		}
	}); err != nil {
		return err
	}
	would := ""
	if dryRun {
		would = "dry run, nothing was changed: "
	}
	fmt.Fprintf(a.Err, "%s%d imported, %d unchanged, %d different, %d refused\n", would, count(rows, rowImported),
		count(rows, rowUnchanged), count(rows, rowDiffers), count(rows, rowRefused))
	return nil
}
