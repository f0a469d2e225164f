package console

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// authForm is how to log in at the receiver, as the form shows it.
type authForm struct {
	// Mode is none, keep, or an auth_type.
	Mode string
	// User and Password are those of basic and token.
	User, Password string
	// URL, TokenKey, HeaderName, HeaderFormat and LoginFormat are those of token.
	URL, TokenKey, HeaderName, HeaderFormat, LoginFormat string
	// TokenURL, ClientID, ClientSecret, Scopes and Audience are those of oauth2.
	TokenURL, ClientID, ClientSecret, Scopes, Audience string
}

func readAuthForm(f url.Values) authForm {
	get := func(name string) string { return strings.TrimSpace(f.Get("auth_" + name)) }
	return authForm{
		Mode: get("mode"), User: get("username"), Password: f.Get("auth_password"), URL: get("url"), TokenKey: get("token_key"),
		HeaderName: get("header_name"), HeaderFormat: get("header_format"), LoginFormat: get("login_format"), TokenURL: get("token_url"),
		ClientID: get("client_id"), ClientSecret: f.Get("auth_client_secret"), Scopes: get("scopes"), Audience: get("audience"),
	}
}

// value is config.auth as the form means it, for the domain to judge; nil for none, or for the stored one.
func (f *authForm) value() json.RawMessage {
	fields := object{"auth_type": quoted(f.Mode)}
	switch f.Mode {
	case webhook.AuthBasic:
		fields["username"], fields["password"] = encode(f.User), encode(f.Password)
	case webhook.AuthToken:
		fields["url"], fields["username"], fields["password"] = encode(f.URL), encode(f.User), encode(f.Password)
		fields.put("token_key", quoted(f.TokenKey))
		fields.put("header_name", quoted(f.HeaderName))
		fields.put("header_format", quoted(f.HeaderFormat))
		fields.put("login_format", quoted(f.LoginFormat))
	case webhook.AuthOAuth2:
		fields["token_url"], fields["client_id"], fields["client_secret"] = encode(f.TokenURL), encode(f.ClientID), encode(f.ClientSecret)
		if f.Scopes != "" {
			fields.put("scopes", list(f.Scopes, quoted))
		}
		fields.put("audience", quoted(f.Audience))
	default:
		return nil
	}
	return fields.raw()
}

// kept reports whether the stored auth stays.
func (f *authForm) kept() bool { return f.value() == nil && f.Mode != "none" }

// started reports whether there is enough of it to be judged while the person still types.
func (f *authForm) started() bool {
	switch f.Mode {
	case "basic":
		return f.User != "" && f.Password != ""
	case "token":
		return f.URL != "" && f.User != "" && f.Password != ""
	case "oauth2":
		return f.TokenURL != "" && f.ClientID != "" && f.ClientSecret != ""
	default:
		return true
	}
}

// tlsForm is how connections are made, as the form shows it.
type tlsForm struct {
	// Mode is none, keep or own.
	Mode                             string
	Certificate, Key, CA, ServerName string
}

func readTLSForm(f url.Values) tlsForm {
	get := func(name string) string {
		return strings.TrimSpace(strings.ReplaceAll(f.Get("tls_"+name), "\r\n", "\n"))
	}
	return tlsForm{Mode: get("mode"), Certificate: get("client_certificate"), Key: get("client_key"), CA: get("ca"), ServerName: get("server_name")}
}

// value is config.tls as the form means it, for the domain to judge; nil for none, or for the stored one.
func (f *tlsForm) value() json.RawMessage {
	if f.Mode != "own" {
		return nil
	}
	fields := object{}
	fields.put("client_certificate", quoted(f.Certificate))
	fields.put("client_key", quoted(f.Key))
	fields.put("ca", quoted(f.CA))
	fields.put("server_name", quoted(f.ServerName))
	return fields.raw()
}

// kept reports whether the stored tls stays.
func (f *tlsForm) kept() bool { return f.value() == nil && f.Mode != "none" }
