package console

import (
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

// apply writes config.auth as the form means it; the domain judges it. What is stored stays unless the form says otherwise.
func (f *authForm) apply(config *webhook.Config) error {
	fields := object{"auth_type": quoted(f.Mode)}
	switch f.Mode {
	case "basic":
		fields["username"], fields["password"] = encode(f.User), encode(f.Password)
	case "token":
		fields["url"], fields["username"], fields["password"] = encode(f.URL), encode(f.User), encode(f.Password)
		fields.put("token_key", quoted(f.TokenKey))
		fields.put("header_name", quoted(f.HeaderName))
		fields.put("header_format", quoted(f.HeaderFormat))
		fields.put("login_format", quoted(f.LoginFormat))
	case "oauth2":
		fields["token_url"], fields["client_id"], fields["client_secret"] = encode(f.TokenURL), encode(f.ClientID), encode(f.ClientSecret)
		if f.Scopes != "" {
			fields.put("scopes", list(f.Scopes, quoted))
		}
		fields.put("audience", quoted(f.Audience))
	case "none":
		config.Auth = nil
		return nil
	default:
		return nil
	}
	parsed, err := webhook.ParseConfig(object{"auth": fields.raw()}.raw())
	if err != nil {
		return err
	}
	config.Auth = parsed.Auth
	return nil
}

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

// calls reports whether the URL of that field is called to log in.
func (f *authForm) calls(pointer string) bool {
	return f.Mode == "token" && pointer == "/config/auth/url" || f.Mode == "oauth2" && pointer == "/config/auth/token_url"
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

// apply writes config.tls as apply of authForm does with auth.
func (f *tlsForm) apply(config *webhook.Config) error {
	switch f.Mode {
	case "none":
		config.TLS = nil
		return nil
	case "own":
	default:
		return nil
	}
	fields := object{}
	fields.put("client_certificate", quoted(f.Certificate))
	fields.put("client_key", quoted(f.Key))
	fields.put("ca", quoted(f.CA))
	fields.put("server_name", quoted(f.ServerName))
	parsed, err := webhook.ParseConfig(object{"tls": fields.raw()}.raw())
	if err != nil {
		return err
	}
	config.TLS = parsed.TLS
	return nil
}
