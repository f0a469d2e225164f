package cli

import (
	"context"
	"math"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
)

type signingKeyCommand struct {
	List   signingKeyList   `cmd:"" help:"List the keys, and where receivers read their public halves."`
	Rotate signingKeyRotate `cmd:"" help:"Rotate the signing keys."`
}

type signingKeyList struct{}

// Run prints the list.
func (c *signingKeyList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	keys, err := take(server.SigningKeys.List(ctx), math.MaxInt)
	if err != nil {
		return err
	}
	if err := a.printSigningKeys(keys); err != nil || len(keys) == 0 || a.Width == 0 || a.Wide {
		return err
	}
	a.done("receivers read them at %s", keys[0].JWKSURL)
	return nil
}

func (a *app) printSigningKeys(keys []api.SigningKey) error {
	return a.print(keys, func(t *table) {
		t.head("KEY", "ALGORITHM", "STATE", "CREATED", "PUBLISHED UNTIL", "+JWKS URL")
		for _, k := range keys {
			until := ""
			if k.PublishedUntil != nil {
				until = date(*k.PublishedUntil)
			}
			state := k.State
			if !k.Usable {
				state += " (cannot be opened)"
			}
			t.row(k.ID, k.Algorithm, state, date(k.CreatedDate), until, k.JWKSURL)
		}
	})
}

type signingKeyRotate struct {
	Algorithm string `help:"Rotate the key of this algorithm only: ecdsa-p256-sha256 or ed25519." placeholder:"NAME"`
	Revoke    bool   `help:"Remove the old keys from the key set at once, as after a leak."`
}

// Help describes what happens.
func (c *signingKeyRotate) Help() string {
	return "The next key, published in advance, signs within a second; the old one stays published for 24 more hours.\n" +
		"A rotation less than 15 minutes after the last one needs --revoke. A tenant without keys gets its first ones."
}

// Run rotates the keys and prints the new state.
func (c *signingKeyRotate) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	keys, err := server.SigningKeys.Rotate(ctx, client.KeyRotation{Algorithm: c.Algorithm, Revoke: c.Revoke})
	if err != nil {
		return err
	}
	return a.printSigningKeys(keys)
}
