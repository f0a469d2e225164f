package webhook

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kinds of authentication.
const (
	// AuthBasic is HTTP basic authentication (RFC 7617).
	AuthBasic = "basic"
	// AuthToken logs in at a URL with user name and password, and sends the token that it gets.
	AuthToken = "token"
	// AuthOAuth2 is the client credentials grant of OAuth 2.0 (RFC 6749 section 4.4).
	AuthOAuth2 = "oauth2"
)

// Formats of the body of a token login.
const (
	LoginJSON = "json"
	LoginForm = "form"
)

// How an OAuth 2.0 client authenticates (RFC 6749 section 2.3.1); an empty value tries the header first.
const (
	AuthStyleHeader = "header"
	AuthStyleParams = "params"
)

// DefaultTokenLife is how long a token is used if neither the answer nor the hook says how long it is valid.
const DefaultTokenLife = time.Hour

// hidden is shown in place of a secret.
const hidden = "***"

const (
	defaultTokenKey     = "token"
	defaultHeaderFormat = "Bearer {token}"
	maxTokenLife        = 30 * 24 * time.Hour
	maxAuthText         = 1024
	maxLoginField       = 256 // also bounds the user name
	maxScopes           = 100
	maxAuthParams       = 20
)

// Auth is config.auth. AuthType determines which fields apply. Password, ClientSecret and Params are secret.
type Auth struct {
	AuthType string `json:"auth_type"`
	// Username and Password apply to basic and token.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`

	// URL is where token logs in, by a POST of username and password.
	URL string `json:"url,omitempty"`
	// TokenKey locates the token in the answer: a key of the object, or an RFC 6901 JSON pointer.
	TokenKey string `json:"token_key,omitempty"`
	// HeaderFormat is the header's value; {token} stands for the token.
	HeaderFormat string `json:"header_format,omitempty"`
	// HeaderName is the name of that header.
	HeaderName string `json:"header_name,omitempty"`
	// LoginFormat is LoginJSON or LoginForm.
	LoginFormat string `json:"login_format,omitempty"`
	// UsernameField and PasswordField are the names of the fields in the login's body; empty means username and
	// password.
	UsernameField string `json:"username_field,omitempty"`
	PasswordField string `json:"password_field,omitempty"`
	// ExpiresIn is how many seconds a token is valid if the answer has no expires_in; 0 means DefaultTokenLife.
	ExpiresIn int `json:"expires_in,omitempty"`

	// TokenURL is where oauth2 gets its tokens.
	TokenURL     string   `json:"token_url,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	Audience     string   `json:"audience,omitempty"`
	// Params are additional parameters of the token request.
	Params map[string]string `json:"params,omitempty"`
	// AuthStyle is AuthStyleHeader, AuthStyleParams or empty.
	AuthStyle string `json:"auth_style,omitempty"`
}

// secretField is a field that is never shown.
type secretField struct {
	name  string
	value *string
}

// secrets returns the secret fields of the auth_type, other than the parameters.
func (a *Auth) secrets() []secretField {
	if a.AuthType == AuthOAuth2 {
		return []secretField{{"client_secret", &a.ClientSecret}}
	}
	return []secretField{{"password", &a.Password}}
}

// Shown returns a copy without secrets: no password and no client secret, and *** for each parameter.
func (a *Auth) Shown() *Auth {
	shown := *a
	shown.Password, shown.ClientSecret, shown.Params = "", "", maps.Clone(a.Params)
	for name := range shown.Params {
		shown.Params[name] = hidden
	}
	return &shown
}

// Login returns the URL used to log in, and the name of its field. Both are empty if there is no login.
func (a *Auth) Login() (field, target string) {
	switch a.AuthType {
	case AuthToken:
		return "url", a.URL
	case AuthOAuth2:
		return "token_url", a.TokenURL
	default:
		return "", ""
	}
}

// Header returns the name of the header that carries the authentication, in the configured spelling.
func (a *Auth) Header() string {
	if a.AuthType == AuthToken && a.HeaderName != "" {
		return a.HeaderName
	}
	return "Authorization"
}

// TokenHeader returns the header's value for a token.
func (a *Auth) TokenHeader(token string) string {
	format := a.HeaderFormat
	if format == "" {
		format = defaultHeaderFormat
	}
	return strings.Replace(strings.Replace(format, "{}", "{token}", 1), "{token}", token, 1)
}

// LoginFields returns the names of the fields for user name and password in the body of a login.
func (a *Auth) LoginFields() (username, password string) {
	return cmp.Or(a.UsernameField, "username"), cmp.Or(a.PasswordField, "password")
}

// FindToken returns the token in the answer to a login: a string, or a number in its notation. ok is false if there
// is none.
func (a *Auth) FindToken(answer json.RawMessage) (token string, ok bool) {
	key := a.TokenKey
	if key == "" {
		key = defaultTokenKey
	}
	if !strings.HasPrefix(key, "/") {
		key = "/" + escapePointer(key)
	}
	path, err := parsePointer(key)
	if err != nil {
		return "", false
	}
	value, err := decodeAny(answer)
	if err != nil {
		return "", false
	}
	for _, name := range path {
		if value, ok = member(value, name); !ok {
			return "", false
		}
	}
	switch v := value.(type) {
	case string:
		if v == "" || headerValueProblem(v) != "" {
			return "", false
		}
		return v, true
	case json.Number:
		return v.String(), true
	default:
		return "", false
	}
}

// liftAuth moves the fields of an auth that is in the config itself, next to auth_type, into an auth object.
func liftAuth(keys map[string]json.RawMessage) {
	var authType string
	if _, nested := keys["auth"]; nested || json.Unmarshal(keys["auth_type"], &authType) != nil {
		return
	}
	auth := map[string]json.RawMessage{}
	needed, others := AuthFields(strings.ToLower(authType))
	for _, name := range slices.Concat([]string{"auth_type"}, needed, others) {
		if value, there := keys[name]; there {
			auth[name] = value
			delete(keys, name)
		}
	}
	if raw, err := json.Marshal(auth); err == nil {
		keys["auth"] = raw
	}
}

func parseAuth(raw json.RawMessage, p *ValidationError) *Auth {
	var a Auth
	if err := decodeStrict(raw, &a); err != nil {
		p.Collect("/auth", err)
		return nil
	}
	a.AuthType, a.LoginFormat, a.AuthStyle = strings.ToLower(a.AuthType), strings.ToLower(a.LoginFormat), strings.ToLower(a.AuthStyle)
	form := authTypes.Named(a.AuthType)
	if form == nil {
		p.Add("/auth/auth_type", "must be basic, token or oauth2")
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		p.Add("/auth", "must be an object")
		return nil
	}
	for _, name := range sortedKeys(members) {
		if name != authTypes.By && !slices.ContainsFunc(form.Members, func(f Field) bool { return f.Name == name }) {
			p.Add("/auth/"+escapePointer(Clip(name)), "is not a field of auth_type %s", a.AuthType)
		}
	}
	switch a.AuthType {
	case AuthBasic, AuthToken:
		a.checkPassword(p)
	case AuthOAuth2:
		a.checkOAuth2(p)
	}
	if a.AuthType == AuthToken {
		a.checkToken(p)
	}
	return &a
}

func (a *Auth) checkPassword(p *ValidationError) {
	if a.Username == "" || len(a.Username) > maxLoginField || !printable(a.Username) {
		p.Add("/auth/username", "must be 1 to %d bytes of printable text", maxLoginField)
	}
	if len(a.Password) > maxAuthText || !printable(a.Password) {
		p.Add("/auth/password", "must be at most %d bytes of printable text", maxAuthText)
	}
}

func (a *Auth) checkToken(p *ValidationError) {
	if a.URL == "" || len(a.URL) > MaxTargetURL {
		p.Add("/auth/url", "must be a URL of at most %d characters", MaxTargetURL)
	}
	if len(a.TokenKey) > maxPointer || !printable(a.TokenKey) {
		p.Add("/auth/token_key", "must be a key or JSON pointer of at most %d bytes", maxPointer)
	} else if strings.HasPrefix(a.TokenKey, "/") {
		if _, err := parsePointer(a.TokenKey); err != nil {
			p.Add("/auth/token_key", "%s", err)
		}
	}
	if f := a.HeaderFormat; f != "" {
		if places := strings.Count(f, "{token}") + strings.Count(f, "{}"); places != 1 || len(f) > maxAuthText || headerValueProblem(f) != "" {
			p.Add("/auth/header_format", "must be a header's value with {token} in it once, such as Bearer {token}")
		}
	}
	if a.HeaderName != "" && headerNameProblem(a.HeaderName) != "" {
		p.Add("/auth/header_name", "must be a header name that is not reserved")
	}
	for name, value := range map[string]string{"username_field": a.UsernameField, "password_field": a.PasswordField} {
		if len(value) > maxLoginField || !printable(value) {
			p.Add("/auth/"+name, "must be at most %d bytes of printable text", maxLoginField)
		}
	}
	if user, password := a.LoginFields(); user == password {
		p.Add("/auth/password_field", "must not be the name of username_field")
	}
	if a.LoginFormat != "" && a.LoginFormat != LoginJSON && a.LoginFormat != LoginForm {
		p.Add("/auth/login_format", "must be json or form")
	}
	if a.ExpiresIn < 0 || a.ExpiresIn > int(maxTokenLife.Seconds()) {
		p.Add("/auth/expires_in", "must be whole seconds from 1 to %d", int(maxTokenLife.Seconds()))
	}
}

// reservedParams are parameters of the token request that we set ourselves.
var reservedParams = map[string]bool{"grant_type": true, "client_id": true, "client_secret": true, "scope": true, "audience": true}

func (a *Auth) checkOAuth2(p *ValidationError) {
	if a.TokenURL == "" || len(a.TokenURL) > MaxTargetURL {
		p.Add("/auth/token_url", "must be a URL of at most %d characters", MaxTargetURL)
	}
	if a.ClientID == "" || len(a.ClientID) > maxAuthText || !printable(a.ClientID) {
		p.Add("/auth/client_id", "must be 1 to %d bytes of printable text", maxAuthText)
	}
	if len(a.ClientSecret) > maxAuthText || !printable(a.ClientSecret) {
		p.Add("/auth/client_secret", "must be at most %d bytes of printable text", maxAuthText)
	}
	for _, scope := range a.Scopes {
		if scope == "" || len(scope) > maxAuthText || !printable(scope) || strings.Contains(scope, " ") {
			p.Add("/auth/scopes", "must be words of at most %d bytes of printable text", maxAuthText)
			break
		}
	}
	if len(a.Scopes) > maxScopes {
		p.Add("/auth/scopes", "must be at most %d", maxScopes)
	}
	if len(a.Audience) > maxAuthText || !printable(a.Audience) {
		p.Add("/auth/audience", "must be at most %d bytes of printable text", maxAuthText)
	}
	for _, name := range sortedKeys(a.Params) {
		if reservedParams[name] || name == "" || len(name)+len(a.Params[name]) > maxAuthText || !printable(name) || !printable(a.Params[name]) {
			p.Add("/auth/params/"+escapePointer(Clip(name)), "must be printable text of at most %d bytes, and no parameter that has a field of its own", maxAuthText)
		}
	}
	if len(a.Params) > maxAuthParams {
		p.Add("/auth/params", "must be at most %d", maxAuthParams)
	}
	if a.AuthStyle != "" && a.AuthStyle != AuthStyleHeader && a.AuthStyle != AuthStyleParams {
		p.Add("/auth/auth_style", "must be header or params")
	}
}
