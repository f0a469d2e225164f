package console

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/catalogue"
	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// recentDeliveries is how many a hook's page shows.
const recentDeliveries = 10

type hookBody struct {
	ID     uuid.UUID
	Title  string
	Hook   webhook.Hook
	Header []string
	// Config is the config as it was written, without what is secret.
	Config string
	// Retries says in words when it is tried again.
	Retries timetable
	Day     spark
	Stats   *postgres.HookStats
	// Dead is how many deliveries of the last day are.
	Dead    int
	Failing string
	Recent  []deliveryRow
	Curl    string
	Samples []sample
	// ExampleType is an exact type that reaches the hook.
	ExampleType string
}

// sample is how a receiver verifies signatures in one language.
type sample struct{ ID, Language, Text string }

//go:embed samples/*.txt
var sampleFiles embed.FS

func samples() ([]sample, error) {
	list := []sample{{ID: "go", Language: "Go"}, {ID: "python", Language: "Python"}, {ID: "js", Language: "JavaScript (Node)"}}
	for i := range list {
		text, err := sampleFiles.ReadFile("samples/" + list[i].ID + ".txt")
		if err != nil {
			return nil, fmt.Errorf("read sample: %w", err)
		}
		list[i].Text = strings.TrimSpace(string(text))
	}
	return list, nil
}

func (c *console) hookPage(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	h, err := c.Hooks.Hook(ctx, v.tenant, id)
	if err != nil {
		return reply{}, err
	}
	edit := v.token.Role.Covers(postgres.Editor)
	form := formOf(&h, nil)
	body := hookBody{
		ID: id, Title: titleOf(&h), Hook: h, Header: headerLines(h.Headers, edit), Retries: preview(&form),
		Curl: c.curl(v, &h), ExampleType: exampleType(&h),
	}
	if config := string(h.Config.Raw); config != "{}" {
		body.Config = pretty(h.Config.Raw)
	}
	if body.Samples, err = samples(); err != nil {
		return reply{}, err
	}
	recent, _, err := c.History.Deliveries(ctx, v.tenant, postgres.DeliveryFilter{Hook: id}, postgres.Page{Limit: recentDeliveries})
	if err != nil {
		return reply{}, err
	}
	body.Recent = deliveryRows(recent)
	if err := c.health(ctx, v.tenant, &body); err != nil {
		return reply{}, err
	}
	return page("hook", body.Title, body), nil
}

// exampleType is a type that the hook wants, as a person can publish it.
func exampleType(h *webhook.Hook) string {
	for _, t := range catalogue.All() {
		if h.WantsType(t.Name) {
			return t.Name
		}
	}
	return h.EventTypes[0]
}

// health counts; a hook that is too busy for it is shown without.
func (c *console) health(ctx context.Context, tenant string, body *hookBody) error {
	rows, err := c.hookRows(ctx, []webhook.Hook{body.Hook})
	if err != nil {
		return err
	}
	body.Day = rows[0].Day
	stats, err := daemon.Within(ctx, statsTimeout, func(ctx context.Context) (postgres.HookStats, error) {
		return c.Stats.HookStats(ctx, tenant, body.ID, c.now())
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil
	case err != nil:
		return err
	}
	body.Stats, body.Dead = &stats, stats.Day[webhook.Dead]
	if !stats.FailingSince.IsZero() {
		body.Failing = failingText(lastAnswer(body.Recent), stats.Failures)
	}
	return nil
}

// lastAnswer is what the newest delivery that is not through was answered with.
func lastAnswer(recent []deliveryRow) string {
	for _, d := range recent {
		if d.State != webhook.Delivered && d.Answer != "" {
			return d.Answer
		}
	}
	return ""
}

// hidden stands for what the reader may not see.
const hidden = "***"

func headerLines(headers map[string]string, show bool) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := hidden
		if show {
			value = headers[name]
		}
		lines = append(lines, name+": "+value)
	}
	return lines
}

// curl is the command that makes such a hook over the API. Secrets are left to be filled in.
func (c *console) curl(v *visit, h *webhook.Hook) string {
	fields := object{}
	fields.put("name", quoted(h.Name))
	fields.put("event_types", encode(h.EventTypes))
	fields.put("target_url", quoted(h.TargetURL))
	if len(h.Secrets) > 0 {
		fields.put("secret_key", quoted("$SECRET"))
	}
	if h.APIKey != "" {
		fields.put("api_key", quoted("$API_KEY"))
	}
	if len(h.Headers) > 0 {
		headers := object{}
		for name := range h.Headers {
			headers.put(name, quoted("…"))
		}
		fields.put("additional_headers", headers.raw())
	}
	if h.Callback != nil {
		fields.put("callback", encode(h.Callback))
	}
	fields.put("retry_countdown_config", h.RetryConfig)
	if string(h.Config.Raw) != "{}" {
		fields.put("config", h.Config.Raw)
	}
	tenant := ""
	if v.operator() {
		tenant = " -H 'X-Whisperer-Tenant: " + v.tenant + "'"
	}
	return fmt.Sprintf("curl -fsS %s/whisperer/hooks/ -H \"Authorization: Token $WHISPERER_TOKEN\"%s \\\n  -H 'Content-Type: application/json' -d '%s'",
		c.base(v), tenant, strings.ReplaceAll(pretty(fields.raw()), "'", `'\''`))
}

// base is the public URL, or where the request was sent to.
func (c *console) base(v *visit) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	scheme := "http"
	if encrypted(v.r) {
		scheme = "https"
	}
	return scheme + "://" + v.r.Host
}
