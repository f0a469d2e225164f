package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const tokensPath = root + "/tokens/"

type (
	tokenListOutput struct{ Body api.OnlyPage[api.Token] }
	newTokenOutput  struct{ Body api.NewToken }
	tokenID         struct {
		ID string `path:"id" format:"uuid" doc:"The token's id"`
	}
)

func (s *server) registerTokens() {
	tag := []string{"Tokens and tenants"}
	register(s, route{role: usecase.Admin}, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: tokensPath, Tags: tag, Summary: "List tokens, newest first",
		Description: "An operator who names no tenant sees the tokens of all tenants and of operators.",
	}, s.listTokens)
	register(s, route{role: usecase.Admin, body: bodyAs[api.TokenFields](s, "TokenInput"), status: http.StatusCreated}, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: tokensPath, Tags: tag, Summary: "Create a token",
	}, s.createToken)
	register(s, route{role: usecase.Admin, status: http.StatusNoContent}, huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: tokensPath + "{id}/", Tags: tag,
		Summary: "Revoke a token", Description: "The token is refused everywhere within 5 seconds.",
	}, s.revokeToken)
}

func (s *server) listTokens(ctx context.Context, c *call, _ *noInput) (*tokenListOutput, error) {
	tokens, err := s.Cases.Access.Tokens(ctx, &c.Caller)
	if err != nil {
		return nil, err
	}
	page := api.OnlyPage[api.Token]{Results: make([]api.Token, len(tokens))}
	for i, t := range tokens {
		page.Results[i] = renderToken(t)
	}
	return &tokenListOutput{Body: page}, nil
}

func renderToken(t usecase.Token) api.Token {
	return api.Token{
		ID: t.ID, Name: t.Name, Tenant: t.Tenant, Role: string(t.Role), State: string(t.State(time.Now())), CreatedDate: t.CreatedAt,
		ExpiresDate: optionalTime(t.ExpiresAt), RevokedDate: optionalTime(t.RevokedAt), LastUsedDate: optionalTime(t.LastUsedAt),
	}
}

func (s *server) createToken(ctx context.Context, c *call, _ *noInput) (*newTokenOutput, error) {
	in, _, err := decodeAs[api.TokenFields](c.body)
	if err != nil {
		return nil, err
	}
	plain, token, err := s.Cases.Access.CreateToken(ctx, &c.Caller, usecase.NewToken{
		Name: in.Name, Role: usecase.Role(in.Role), Tenant: in.Tenant, ExpiresAt: in.Expires,
	})
	if err != nil {
		return nil, err
	}
	return &newTokenOutput{Body: api.NewToken{Token: renderToken(token), Secret: plain}}, nil
}

func (s *server) revokeToken(ctx context.Context, c *call, _ *tokenID) (*noOutput, error) {
	return &noOutput{}, s.Cases.Access.RevokeToken(ctx, &c.Caller, c.id)
}
