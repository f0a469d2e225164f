package console

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// authForm is the part of the form about authentication.
type authForm struct {
	// Mode is none, keep, or an auth_type.
	Mode string
	// Fields are the fields of the auth_type, by name.
	Fields map[string]string
}

// Field returns a field of config.auth as typed.
func (f authForm) Field(name string) string { return f.Fields[name] }

func readAuthForm(posted url.Values) authForm {
	f := authForm{Mode: strings.TrimSpace(posted.Get("auth_mode")), Fields: map[string]string{}}
	for name := range posted {
		if field, ok := strings.CutPrefix(name, "auth_"); ok {
			f.Fields[field] = posted.Get(name)
			if field != "password" && field != "client_secret" {
				f.Fields[field] = strings.TrimSpace(f.Fields[field])
			}
		}
	}
	return f
}

// value returns config.auth as the form has it, for the domain to check; nil for none, or to keep the stored one.
func (f *authForm) value() json.RawMessage {
	needed, others := webhook.AuthFields(f.Mode)
	if needed == nil {
		return nil
	}
	fields := object{"auth_type": quoted(f.Mode)}
	for _, name := range needed {
		fields[name] = encode(f.Fields[name])
	}
	for _, name := range others {
		fields.put(name, quoted(f.Fields[name]))
	}
	if scopes := f.Fields["scopes"]; scopes != "" && fields["scopes"] != nil {
		fields["scopes"] = list(scopes, quoted)
	}
	return fields.raw()
}

// kept reports whether the stored auth is kept.
func (f *authForm) kept() bool { return f.value() == nil && f.Mode != "none" }

// started reports whether enough is filled in to be validated while the person types.
func (f *authForm) started() bool {
	needed, _ := webhook.AuthFields(f.Mode)
	return !slices.ContainsFunc(needed, func(name string) bool { return f.Fields[name] == "" })
}

// tlsForm is the part of the form about TLS.
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

// value returns config.tls as the form has it, for the domain to check; nil for none, or to keep the stored one.
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

// kept reports whether the stored tls is kept.
func (f *tlsForm) kept() bool { return f.value() == nil && f.Mode != "none" }
