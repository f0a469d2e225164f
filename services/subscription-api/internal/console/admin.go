package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type tokenList struct {
	Rows []tokenRow
	Form tokenForm
	// Made is a new token's text, which is shown this once.
	Made  string
	Wrong complaints
}

type tokenForm struct{ Name, Role, Expires string }

type tokenRow struct {
	postgres.Token

	State string
	// Own is the token of the person who looks.
	Own bool
}

// listTokens shows the tokens of the tenant that the pages are about.
func (c *console) listTokens(ctx context.Context, v *visit) (reply, error) {
	return c.tokens(ctx, v, tokenList{Form: tokenForm{Role: string(postgres.Viewer)}, Wrong: complaints{}})
}

func (c *console) tokens(ctx context.Context, v *visit, body tokenList) (reply, error) {
	list, err := c.Admin.Tokens(ctx, v.tenant)
	if err != nil {
		return reply{}, err
	}
	for _, t := range list {
		row := tokenRow{Token: t, State: "active", Own: t.ID == v.token.ID}
		switch {
		case !t.RevokedAt.IsZero():
			row.State = "revoked"
		case !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(c.now()):
			row.State = "expired"
		}
		body.Rows = append(body.Rows, row)
	}
	answer := page("tokens", "API tokens", body)
	if body.Wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

func (c *console) createToken(ctx context.Context, v *visit) (reply, error) {
	form := tokenForm{
		Name: strings.TrimSpace(v.posted.Get("name")), Role: v.posted.Get("role"), Expires: v.posted.Get("expires"),
	}
	body := tokenList{Form: form, Wrong: complaints{}}
	n := postgres.NewToken{Name: form.Name, Role: postgres.Role(form.Role), Tenant: v.tenant}
	switch form.Expires {
	case "30", "90", "365":
		days, err := time.ParseDuration(form.Expires + "h")
		if err != nil {
			return reply{}, errBadForm
		}
		n.ExpiresAt = c.now().Add(24 * days)
	}
	plain, _, err := c.Admin.CreateToken(ctx, v.actor(), n)
	var invalid *webhook.ValidationError
	switch {
	case errors.As(err, &invalid):
		for _, f := range invalid.Fields {
			body.Wrong.add(strings.TrimPrefix(f.Pointer, "/"), f.Detail)
		}
		return c.tokens(ctx, v, body)
	case err != nil:
		return reply{}, err
	}
	body.Made, body.Form = plain, tokenForm{Role: string(postgres.Viewer)}
	return c.tokens(ctx, v, body)
}

func (c *console) revokeToken(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	if err := c.Admin.RevokeToken(ctx, v.actor(), v.tenant, id); err != nil {
		return reply{}, err
	}
	return goTo(withDone(Root+"tokens/", "revoked")), nil
}

// shownChanges is how many changes the audit log shows.
const shownChanges = 200

type auditBody struct {
	Rows []auditRow
	Most int
}

type auditRow struct {
	postgres.AuditEntry

	Text string
	// Short is the subject, of an id its beginning.
	Short string
	// Link is the page of what was changed; empty where there is none.
	Link string
}

func (c *console) listAudit(ctx context.Context, v *visit) (reply, error) {
	list, _, err := c.Admin.AuditLog(ctx, v.tenant, postgres.AuditFilter{}, postgres.Page{Limit: shownChanges})
	if err != nil {
		return reply{}, err
	}
	names := map[string]string{}
	if tokens, err := c.Admin.Tokens(ctx, ""); err == nil {
		for _, t := range tokens {
			if t.Tenant == v.tenant || t.Tenant == "" {
				names["token "+t.ID.String()] = t.Name
			}
		}
	}
	gone := map[string]bool{}
	for _, e := range list {
		gone[e.Subject] = gone[e.Subject] || e.Action == "hook.deleted"
	}
	body := auditBody{Most: shownChanges}
	for _, e := range list {
		row := auditRow{AuditEntry: e, Short: e.Subject}
		if detail := string(e.Detail); detail != "{}" {
			row.Text = detail
		}
		if name := names[string(e.Actor)]; name != "" {
			row.Actor = postgres.Actor(name)
		}
		if id, err := uuid.Parse(e.Subject); err == nil {
			kind, _, _ := strings.Cut(e.Action, ".")
			row.Short = kind + " " + id.String()[24:]
			switch {
			case gone[e.Subject]:
			case kind == "hook":
				row.Link = hookPath(id)
			case kind == "delivery":
				row.Link = Root + "deliveries/" + id.String() + "/"
			}
		}
		body.Rows = append(body.Rows, row)
	}
	return page("audit", "Audit log", body), nil
}
