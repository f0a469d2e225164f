package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type tokenCommand struct {
	Create tokenCreate `cmd:"" help:"Create a token and print it; it is never shown again."`
	List   tokenList   `cmd:"" help:"List tokens, without their secrets."`
	Revoke tokenRevoke `cmd:"" help:"Revoke a token."`
}

type tokenCreate struct {
	Name        string `arg:"" help:"What the token is for."`
	Role        string `help:"viewer reads; editor manages hooks and publishes; admin manages tokens too." enum:"viewer,editor,admin" default:"editor" placeholder:"ROLE"`
	Expires     length `help:"Validity, such as 90d (default: forever)." placeholder:"DURATION"`
	DatabaseURL string `help:"Create the token in this database instead of through the API, for the first token." env:"WHISPERER_DATABASE_URL" name:"database-url" placeholder:"URL"`
}

// Help describes whose token it is.
func (c *tokenCreate) Help() string {
	return "With --tenant the token belongs to that tenant; without, it is an operator's token, valid for every tenant.\n" +
		"The first token of an installation: whisperer token create first --role admin --database-url URL"
}

// Run creates a token and prints it.
func (c *tokenCreate) Run(ctx context.Context, a *app) error {
	if c.DatabaseURL != "" {
		return c.direct(ctx, a)
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	fields := client.TokenFields{Name: c.Name, Tenant: a.Tenant, Role: c.Role}
	if c.Expires > 0 {
		fields.Expires = time.Now().Add(time.Duration(c.Expires))
	}
	t, err := server.Tokens.Create(ctx, fields)
	if err != nil {
		return err
	}
	return a.printNewToken(t)
}

// cliActor is the actor in the audit log for changes without a token.
const cliActor = store.Actor("cli")

// direct creates the token in the database, for when nobody has a token for the API yet.
func (c *tokenCreate) direct(ctx context.Context, a *app) error {
	db, err := store.Open(c.DatabaseURL, 1, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Ready(ctx); err != nil {
		return err
	}
	if a.Tenant != "" {
		if _, err := db.Access.EnsureTenant(ctx, cliActor, a.Tenant); err != nil {
			return fmt.Errorf("create tenant %s: %w", a.Tenant, err)
		}
	}
	n := store.NewToken{Name: c.Name, Tenant: a.Tenant, Role: store.Role(c.Role)}
	if c.Expires > 0 {
		n.ExpiresAt = time.Now().Add(time.Duration(c.Expires))
	}
	plain, made, err := db.Access.CreateToken(ctx, cliActor, n)
	if err != nil {
		return err
	}
	t := api.NewToken{Secret: plain, Token: api.Token{
		ID: made.ID, Name: made.Name, Tenant: made.Tenant, Role: string(made.Role), State: string(made.State(time.Now())), CreatedDate: made.CreatedAt,
	}}
	if !made.ExpiresAt.IsZero() {
		t.ExpiresDate = &made.ExpiresAt
	}
	return a.printNewToken(t)
}

func (a *app) printNewToken(t api.NewToken) error {
	return a.print(t, func(rows *table) {
		rows.row("id", t.ID.String())
		rows.row("name", t.Name)
		rows.row("tenant", firstText(t.Tenant, "all (operator)"))
		rows.row("role", t.Role)
		rows.row("expires", until(t.ExpiresDate))
		rows.row("token", t.Secret)
	})
}

func until(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return date(*t)
}

type tokenList struct{ listFlags }

// Run prints the list.
func (c *tokenList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	tokens, err := take(server.Tokens.List(ctx), c.Limit)
	if err != nil {
		return err
	}
	return a.print(tokens, func(rows *table) {
		rows.head("ID", "NAME", "TENANT", "ROLE", "EXPIRES", "LAST USED", "STATE")
		for _, t := range tokens {
			rows.row(t.ID.String(), t.Name, firstText(t.Tenant, "all"), t.Role, until(t.ExpiresDate), until(t.LastUsedDate), t.State)
		}
	})
}

type tokenRevoke struct {
	Token string `arg:"" help:"The token's id, the start of its id, or its name; not the token itself."`
}

// Run revokes the token.
func (c *tokenRevoke) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	id, err := find("token", c.Token, server.Tokens.List(ctx), func(t *api.Token) (uuid.UUID, string) { return t.ID, t.Name })
	if err != nil {
		return err
	}
	if err := server.Tokens.Revoke(ctx, id); err != nil {
		return err
	}
	a.done("revoked token %s", id)
	return nil
}
