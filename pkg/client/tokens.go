package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const tokensPath = "/whisperer/tokens/"

// Tokens makes and revokes the API's tokens.
type Tokens struct{ *core }

// TokenFields say what token to make.
type TokenFields = api.TokenFields

// List lists the tokens that the caller may see, newest first.
func (c Tokens) List(ctx context.Context) iter.Seq2[api.Token, error] {
	return pages[api.Token](ctx, c.core, tokensPath, nil)
}

// Create makes a token.
func (c Tokens) Create(ctx context.Context, fields TokenFields) (api.NewToken, error) {
	return post[api.NewToken](ctx, c.core, tokensPath, fields)
}

// Revoke makes a token useless at once.
func (c Tokens) Revoke(ctx context.Context, id uuid.UUID) error {
	return c.do(ctx, request{method: http.MethodDelete, path: tokensPath + id.String() + "/"}, nil)
}
