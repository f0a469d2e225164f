package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// TokenFields say what token to make.
type TokenFields = api.TokenFields

const tokensPath = "/whisperer/tokens/"

// Tokens lists the tokens that the caller may see, newest first.
func (c *Client) Tokens(ctx context.Context) iter.Seq2[api.Token, error] {
	return pages[api.Token](ctx, c, tokensPath, nil)
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, fields TokenFields) (api.NewToken, error) {
	var t api.NewToken
	err := c.do(ctx, request{method: http.MethodPost, path: tokensPath, body: fields}, &t)
	return t, err
}

// RevokeToken makes a token useless at once.
func (c *Client) RevokeToken(ctx context.Context, id uuid.UUID) error {
	return c.do(ctx, request{method: http.MethodDelete, path: tokensPath + id.String() + "/"}, nil)
}
