package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type tokenList struct {
	Rows []tokenRow
	Form tokenForm
	// Made is a new token's text, which is shown this once.
	Made  string
	Wrong formErrors
}

// tokenFieldIDs are the ids of the form's fields by their pointers.
var tokenFieldIDs = map[string]string{"/name": "name", "/role": "role", "/tenant": "tenant", "/expires_date": "expires"}

type tokenForm struct{ Name, Role, Expires string }

type tokenRow struct {
	store.Token

	State string
	// Own is the token of the person who looks.
	Own bool
}

// listTokens shows the tokens of the tenant that the pages are about.
func (c *console) listTokens(ctx context.Context, v *visit) (reply, error) {
	return c.tokens(ctx, v, tokenList{Form: tokenForm{Role: string(store.Viewer)}, Wrong: formErrors{}})
}

func (c *console) tokens(ctx context.Context, v *visit, body tokenList) (reply, error) {
	list, err := c.Cases.Tokens(ctx, &v.Caller)
	if err != nil {
		return reply{}, err
	}
	for _, t := range list {
		row := tokenRow{Token: t, State: "active", Own: t.ID == v.Token.ID}
		switch {
		case !t.RevokedAt.IsZero():
			row.State = "revoked"
		case !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(time.Now()):
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
	body := tokenList{Form: form, Wrong: formErrors{}}
	n := store.NewToken{Name: form.Name, Role: store.Role(form.Role), Tenant: v.Tenant}
	switch form.Expires {
	case "30", "90", "365":
		days, err := time.ParseDuration(form.Expires + "h")
		if err != nil {
			return reply{}, errBadForm
		}
		n.ExpiresAt = time.Now().Add(24 * days)
	}
	plain, _, err := c.Cases.CreateToken(ctx, &v.Caller, n)
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Wrong.collect(tokenFieldIDs, err)
		return c.tokens(ctx, v, body)
	case err != nil:
		return reply{}, err
	}
	body.Made, body.Form = plain, tokenForm{Role: string(store.Viewer)}
	return c.tokens(ctx, v, body)
}

func (c *console) revokeToken(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	if err := c.Cases.RevokeToken(ctx, &v.Caller, id); err != nil {
		return reply{}, err
	}
	return goTo(withDone(Root+"tokens/", "revoked")), nil
}
