package console

import (
	"context"
	"errors"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const signingKeysPath = Root + "signing-keys/"

type signingKeysBody struct {
	Rows []usecase.SigningKey
	// URL is where receivers fetch the public keys.
	URL   string
	Wrong formErrors
}

func (c *console) listSigningKeys(ctx context.Context, v *visit) (reply, error) {
	return c.signingKeys(ctx, v, formErrors{})
}

func (c *console) signingKeys(ctx context.Context, v *visit, wrong formErrors) (reply, error) {
	keys, err := c.Cases.Signing.List(ctx, &v.Caller)
	if err != nil {
		return reply{}, err
	}
	answer := page("signing-keys", "Signing keys", signingKeysBody{Rows: keys, URL: c.base(v) + usecase.KeySetPath(v.Tenant), Wrong: wrong})
	if wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

// rotateSigningKeys makes the next keys current, or only that of one algorithm if the form names it.
func (c *console) rotateSigningKeys(ctx context.Context, v *visit) (reply, error) {
	r := usecase.KeyRotation{Revoke: usecase.Some(v.posted.Get("revoke") != "")}
	if algorithm := v.posted.Get("algorithm"); algorithm != "" {
		r.Algorithm = usecase.Some(algorithm)
	}
	_, err := c.Cases.Signing.Rotate(ctx, &v.Caller, r)
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		wrong := formErrors{}
		wrong.collect(map[string]string{"/revoke": "rotate", "/algorithm": "rotate"}, err)
		return c.signingKeys(ctx, v, wrong)
	case err != nil:
		return reply{}, err
	}
	return goTo(withDone(signingKeysPath, "keys-rotated")), nil
}
