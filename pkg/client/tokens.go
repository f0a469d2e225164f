package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// Token is an API token without its secret.
type Token struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
	// Tenant is empty for an operator's token.
	Tenant      string     `json:"tenant"`
	Role        string     `json:"role"`
	CreatedDate time.Time  `json:"created_date"`
	ExpiresDate *time.Time `json:"expires_date"`
	RevokedDate *time.Time `json:"revoked_date"`
}

// NewToken is a token that has just been made, with its secret, which is never shown again.
type NewToken struct {
	Token

	Secret string `json:"token"`
}

// TokenFields say what token to make.
type TokenFields struct {
	Name string `json:"name"`
	// Tenant is empty for an operator's token, which only an operator can make.
	Tenant string `json:"tenant,omitempty"`
	// Role is viewer, editor or admin.
	Role string `json:"role"`
	// Expires is zero for never.
	Expires time.Time `json:"expires_date,omitzero"`
}

const tokensPath = "/whisperer/tokens/"

// Tokens lists the tokens that the caller may see, newest first.
func (c *Client) Tokens(ctx context.Context) iter.Seq2[Token, error] {
	return pages[Token](ctx, c, tokensPath, nil)
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, fields TokenFields) (NewToken, error) {
	var t NewToken
	err := c.do(ctx, request{method: http.MethodPost, path: tokensPath, body: fields}, &t)
	return t, err
}

// RevokeToken makes a token useless at once.
func (c *Client) RevokeToken(ctx context.Context, id uuid.UUID) error {
	return c.do(ctx, request{method: http.MethodDelete, path: tokensPath + id.String() + "/"}, nil)
}
