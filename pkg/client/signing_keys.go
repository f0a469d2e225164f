package client

import (
	"context"
	"iter"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const signingKeysPath = "/whisperer/signing-keys/"

// SigningKeys are the tenant's keys that sign HTTP Message Signatures.
type SigningKeys struct{ *core }

// KeyRotation says which signing keys to replace, and how.
type KeyRotation = api.KeyRotation

// List lists the keys by algorithm, the newest first.
func (c SigningKeys) List(ctx context.Context) iter.Seq2[api.SigningKey, error] {
	return pages[api.SigningKey](ctx, c.core, signingKeysPath, nil)
}

// Rotate has the next keys sign from now on, and returns the keys that there are then. A tenant that has none gets its first ones.
func (c SigningKeys) Rotate(ctx context.Context, r KeyRotation) ([]api.SigningKey, error) {
	page, err := post[api.OnlyPage[api.SigningKey]](ctx, c.core, signingKeysPath+"rotate/", r)
	return page.Results, err
}
