package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type tokenList struct {
	Rows []tokenRow
	Form tokenForm
	// Made is a new token's text, which is only shown this once.
	Made  string
	Wrong formErrors
}

// tokenFieldIDs maps pointers to the ids of the form's fields.
var tokenFieldIDs = map[string]string{"/name": "name", "/role": "role", "/tenant": "tenant", "/expires_date": "expires"}

type tokenForm struct {
	Name, Role, Expires string
	// Operator requests an operator's token.
	Operator bool
}

type tokenRow struct {
	usecase.Token

	// Good says that the token is neither revoked nor expired.
	Good  bool
	State usecase.TokenState
	// Own says that it is the reader's own token.
	Own bool
}

// listTokens shows the tokens of the current tenant, and to operators also operators' tokens.
func (c *console) listTokens(ctx context.Context, v *visit) (reply, error) {
	return c.tokens(ctx, v, tokenList{Form: tokenForm{Role: string(usecase.Viewer)}, Wrong: formErrors{}})
}

func (c *console) tokens(ctx context.Context, v *visit, body tokenList) (reply, error) {
	who := tokenCaller(v)
	list, err := c.Cases.Access.Tokens(ctx, &who)
	if err != nil {
		return reply{}, err
	}
	now := time.Now()
	for _, t := range list {
		if t.Tenant != v.Tenant && t.Tenant != "" {
			continue
		}
		row := tokenRow{Token: t, State: t.State(now), Own: t.ID == v.Token.ID}
		row.Good = row.State == usecase.TokenActive || row.State == usecase.TokenExpiring
		body.Rows = append(body.Rows, row)
	}
	answer := page("tokens", "API tokens", body)
	if body.Wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

// tokenCaller returns the caller for managing tokens; an operator manages operators' tokens, too.
func tokenCaller(v *visit) usecase.Caller {
	who := v.Caller
	who.Chosen = !who.Operator()
	return who
}

func (c *console) createToken(ctx context.Context, v *visit) (reply, error) {
	form := tokenForm{
		Name: strings.TrimSpace(v.posted.Get("name")), Role: v.posted.Get("role"), Expires: v.posted.Get("expires"),
		Operator: v.posted.Get("operator") != "",
	}
	body := tokenList{Form: form, Wrong: formErrors{}}
	n := usecase.NewToken{Name: form.Name, Role: usecase.Role(form.Role), Tenant: v.Tenant}
	who := v.Caller
	if form.Operator { // a tenant's admin always creates a token of the tenant
		who, n.Tenant = tokenCaller(v), ""
	}
	switch form.Expires {
	case "30", "90", "365":
		days, err := time.ParseDuration(form.Expires + "h")
		if err != nil {
			return reply{}, errBadForm
		}
		n.ExpiresAt = time.Now().Add(24 * days)
	}
	plain, _, err := c.Cases.Access.CreateToken(ctx, &who, n)
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Wrong.collect(tokenFieldIDs, err)
		return c.tokens(ctx, v, body)
	case err != nil:
		return reply{}, err
	}
	body.Made, body.Form = plain, tokenForm{Role: string(usecase.Viewer)}
	return c.tokens(ctx, v, body)
}

func (c *console) revokeToken(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	who := tokenCaller(v)
	if err := c.Cases.Access.RevokeToken(ctx, &who, id); err != nil {
		return reply{}, err
	}
	return goTo(withDone(Root+"tokens/", "revoked")), nil
}
