package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const signingKeysPath = root + "/signing-keys/"

type (
	signingKeysOutput struct{ Body api.OnlyPage[api.SigningKey] }

	// keySet is a JSON Web Key Set (RFC 7517 section 5).
	keySet struct {
		Keys []httpsig.JWK `json:"keys"`
	}
)

func (s *server) registerSigningKeys() {
	tag := []string{tagSigning}
	register(s, route{role: usecase.Viewer}, huma.Operation{
		OperationID: "list-signing-keys", Method: http.MethodGet, Path: signingKeysPath, Tags: tag,
		Summary: "List keys of HTTP Message Signatures",
		Description: "By algorithm, newest first. There are none before the first rotation, or before the first hook with the preset rfc9421 in " +
			"config.signature is saved. Receivers read the public keys without a token at jwks_url, a JSON Web Key Set (RFC 7517).",
	}, s.listSigningKeys)
	register(s, route{role: usecase.Admin, body: bodyAs[api.KeyRotation](s, "KeyRotationInput")}, huma.Operation{
		OperationID: "rotate-signing-keys", Method: http.MethodPost, Path: signingKeysPath + "rotate/", Tags: tag,
		Summary: "Rotate the signing keys",
		Description: "Workers use the new keys within a second. The next key is already published, and the previous one stays published for another 24 hours, so that " +
			"receivers know every key that signs. A rotation less than 15 minutes after the last one requires revoke. The response has the keys after the rotation. " +
			"A tenant without keys gets its first ones.",
	}, s.rotateSigningKeys)
	s.echo.GET(usecase.KeySetPath(":tenant"), s.serveKeySet)
}

func (s *server) listSigningKeys(ctx context.Context, c *call, _ *noInput) (*signingKeysOutput, error) {
	keys, err := s.Cases.Signing.List(ctx, &c.Caller)
	if err != nil {
		return nil, err
	}
	return renderSigningKeys(c, keys), nil
}

func (s *server) rotateSigningKeys(ctx context.Context, c *call, _ *noInput) (*signingKeysOutput, error) {
	in, sent, err := decodeAs[api.KeyRotation](c.body)
	if err != nil {
		return nil, err
	}
	keys, err := s.Cases.Signing.Rotate(ctx, &c.Caller, usecase.KeyRotation{Algorithm: sentFor(sent, &in.Algorithm), Revoke: sentFor(sent, &in.Revoke)})
	if err != nil {
		return nil, err
	}
	return renderSigningKeys(c, keys), nil
}

func renderSigningKeys(c *call, keys []usecase.SigningKey) *signingKeysOutput {
	page := api.OnlyPage[api.SigningKey]{Results: make([]api.SigningKey, len(keys))}
	for i, k := range keys {
		page.Results[i] = api.SigningKey{
			ID: k.ID, Algorithm: k.Algorithm, State: string(k.State), Usable: k.CanSign() || k.State == httpsig.Previous, JWK: api.JWK(k.Public),
			JWKSURL: c.base + usecase.KeySetPath(c.Tenant), CreatedDate: k.CreatedAt, SignsFrom: optionalTime(k.SignsFrom), PublishedUntil: optionalTime(k.PublishedUntil),
		}
	}
	return &signingKeysOutput{Body: page}
}

// serveKeySet serves a tenant's public keys to anybody, from memory.
func (s *server) serveKeySet(c echo.Context) error {
	keys, err := s.Cases.Signing.PublicKeys(c.Param("tenant"))
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(int(usecase.KeySetAge.Seconds())))
	return c.JSON(http.StatusOK, keySet{keys})
}
