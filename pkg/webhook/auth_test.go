package webhook_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestAuthIsTakenOutOfTheConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config string
		want   webhook.Auth
	}{
		"token": {
			`{"auth":{"auth_type":"token","url":"https://a.example/login","username":"u","password":"hidden","token_key":"token","header_format":"Token {token}"},"mine":1}`,
			webhook.Auth{AuthType: "token", URL: "https://a.example/login", Username: "u", Password: "hidden", TokenKey: "token", HeaderFormat: "Token {token}"},
		},
		"oauth2": {
			`{"mine":1,"auth":{"auth_type":"oauth2","token_url":"https://a.example/t","client_id":"c","client_secret":"hidden","scopes":["a","b"],
				"audience":"x","params":{"resource":"hidden"},"auth_style":"params"}}`,
			webhook.Auth{
				AuthType: "oauth2", TokenURL: "https://a.example/t", ClientID: "c", ClientSecret: "hidden", Scopes: []string{"a", "b"},
				Audience: "x", Params: map[string]string{"resource": "hidden"}, AuthStyle: "params",
			},
		},
		"beside the other keys, as it was once written": {
			`{"auth_type":"token","url":"https://a.example/login","username":"u","password":"hidden","mine":1}`,
			webhook.Auth{AuthType: "token", URL: "https://a.example/login", Username: "u", Password: "hidden"},
		},
		"beside a key that is the integrator's, though a field of another kind": {
			`{"auth_type":"basic","username":"u","password":"hidden","mine":1}`,
			webhook.Auth{AuthType: "basic", Username: "u", Password: "hidden"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := webhook.ParseConfig(json.RawMessage(test.config))
			require.NoError(t, err)
			require.Equal(t, &test.want, c.Auth)
			require.JSONEq(t, `{"mine":1}`, string(c.Raw))
			shown, err := json.Marshal(c.Auth.Shown())
			require.NoError(t, err)
			require.NotContains(t, string(shown), "hidden")
			require.Equal(t, &test.want, c.Auth, "what is shown is a copy")
		})
	}
}

func TestAWrongAuthIsPointedAt(t *testing.T) {
	t.Parallel()
	const (
		token  = `"auth_type":"token","url":"https://a.example/","username":"u","password":"canary"`
		oauth2 = `"auth_type":"oauth2","token_url":"https://a.example/","client_id":"c","client_secret":"canary"`
	)
	for auth, want := range map[string]string{
		`"auth_type":"token","username":"u"`:             "/auth/url",
		`"auth_type":"token","url":"https://a.example/"`: "/auth/username",
		token + `,"scopes":["a"]`:                        "/auth/scopes",
		token + `,"header_format":"Bearer"`:              "/auth/header_format",
		token + `,"header_format":"{token} {token}"`:     "/auth/header_format",
		token + `,"header_format":"a\n{token}"`:          "/auth/header_format",
		token + `,"header_name":"Webhook-Id"`:            "/auth/header_name",
		token + `,"header_name":"a b"`:                   "/auth/header_name",
		token + `,"token_key":"/a~2"`:                    "/auth/token_key",
		token + `,"login_format":"xml"`:                  "/auth/login_format",
		token + `,"expires_in":-1`:                       "/auth/expires_in",
		token + `,"expires_in":"1"`:                      "/auth/expires_in",
		`"auth_type":"oauth2","client_id":"c"`:           "/auth/token_url",
		`"auth_type":"oauth2","token_url":"https://a/"`:  "/auth/client_id",
		oauth2 + `,"scopes":["a b"]`:                     "/auth/scopes",
		oauth2 + `,"scopes":"a"`:                         "/auth/scopes",
		oauth2 + `,"params":{"grant_type":"password"}`:   "/auth/params/grant_type",
		oauth2 + `,"auth_style":"body"`:                  "/auth/auth_style",
		oauth2 + `,"username":"u"`:                       "/auth/username",
		oauth2 + `,"audience":"a\u0007"`:                 "/auth/audience",
	} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseConfig(json.RawMessage(`{"auth":{` + auth + `}}`))
			require.Equal(t, []string{want}, pointers(t, err))
			require.NotContains(t, fmt.Sprint(err), "canary")
		})
	}
}

func TestATokenIsFoundInTheAnswer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		key, answer, want string
	}{
		"by the usual key":           {"", `{"token":"t"}`, "t"},
		"by a key":                   {"key", `{"key":"t","token":"x"}`, "t"},
		"by a key with a slash":      {"a/b", `{"a/b":"t"}`, "t"},
		"by a pointer":               {"/data/0/token", `{"data":[{"token":"t"}]}`, "t"},
		"by an escaped pointer":      {"/a~1b/~0", `{"a/b":{"~":"t"}}`, "t"},
		"as a number":                {"id", `{"id":12345678901234567890}`, "12345678901234567890"},
		"nowhere":                    {"", `{"key":"t"}`, ""},
		"not in null":                {"", `{"token":null}`, ""},
		"not in an object":           {"", `{"token":{}}`, ""},
		"not where it is empty":      {"", `{"token":""}`, ""},
		"not with a line feed in it": {"", `{"token":"a\nb"}`, ""},
		"not in what is no JSON":     {"", `<html>`, ""},
		"not behind the list's end":  {"/3", `["a"]`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := webhook.Auth{TokenKey: test.key}
			got, ok := a.FindToken(json.RawMessage(test.answer))
			require.Equal(t, test.want, got)
			require.Equal(t, test.want != "", ok)
		})
	}
	for format, want := range map[string]string{"": "Bearer t", "Token {token}": "Token t", "JWT {}": "JWT t", "{token}": "t"} {
		a := webhook.Auth{HeaderFormat: format}
		require.Equal(t, want, a.TokenHeader("t"))
	}
}
