package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const signingKeysPath = "/whisperer/signing-keys/"

// KeyRotation says which signing keys to replace, and how.
type KeyRotation = api.KeyRotation

// SigningKeys lists the keys that sign HTTP Message Signatures, by algorithm, the newest first.
func (c *Client) SigningKeys(ctx context.Context) iter.Seq2[api.SigningKey, error] {
	return pages[api.SigningKey](ctx, c, signingKeysPath, nil)
}

// RotateSigningKeys has the next keys sign from now on, and returns the keys that there are then. A tenant that has none gets its first
// ones.
func (c *Client) RotateSigningKeys(ctx context.Context, r KeyRotation) ([]api.SigningKey, error) {
	var page api.OnlyPage[api.SigningKey]
	err := c.do(ctx, request{method: http.MethodPost, path: signingKeysPath + "rotate/", body: r}, &page)
	return page.Results, err
}
