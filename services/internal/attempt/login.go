package attempt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// maxMargin is how long before its expiry a token is no longer used.
const maxMargin = 30 * time.Second

// session is a hook's login. It caches the token until it expires. While one caller logs in, the others wait for that
// login.
type session struct {
	client *egress.Client
	hook   *webhook.Hook
	auth   *webhook.Auth
	oauth2 *clientcredentials.Config
	header string

	flights singleflight.Group
	mu      sync.Mutex
	value   string // value of the header
	until   time.Time
}

// newSession returns the hook's login, or nil if it needs none. It keeps the previous session if the login's settings
// are unchanged.
func newSession(client *egress.Client, h *webhook.Hook, before *session) *session {
	auth := h.Config.Auth
	if auth == nil {
		return nil
	}
	if _, target := auth.Login(); target == "" {
		return nil
	}
	if before != nil && reflect.DeepEqual(before.auth, auth) && reflect.DeepEqual(before.hook.Config.TLS, h.Config.TLS) &&
		before.hook.TargetURL == h.TargetURL && before.hook.Config.Timeout == h.Config.Timeout {
		return before
	}
	s := &session{client: client, hook: h, auth: auth, header: auth.Header()}
	if auth.AuthType == webhook.AuthOAuth2 {
		s.oauth2 = &clientcredentials.Config{
			ClientID: auth.ClientID, ClientSecret: auth.ClientSecret, TokenURL: auth.TokenURL, Scopes: auth.Scopes,
			EndpointParams: url.Values{},
		}
		for name, value := range auth.Params {
			s.oauth2.EndpointParams.Set(name, value)
		}
		if auth.Audience != "" {
			s.oauth2.EndpointParams.Set("audience", auth.Audience)
		}
		switch auth.AuthStyle {
		case webhook.AuthStyleHeader:
			s.oauth2.AuthStyle = oauth2.AuthStyleInHeader
		case webhook.AuthStyleParams:
			s.oauth2.AuthStyle = oauth2.AuthStyleInParams
		}
	}
	return s
}

// get returns the header's value, and whether it comes from a new login. The error is a sentence for people, or
// ctx's.
func (s *session) get(ctx context.Context) (value string, fresh bool, err error) {
	if value = s.kept(); value != "" {
		return value, false, nil
	}
	flight := s.flights.DoChan("", func() (any, error) {
		if value := s.kept(); value != "" { // another caller has just logged in
			return value, nil
		}
		// All waiting callers share this login, so it does not end with the caller that started it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.hook.Config.Timeout)
		defer cancel()
		return s.login(ctx)
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return "", false, r.Err
		}
		value, _ = r.Val.(string)
		return value, true, nil
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
}

// kept returns the cached value, or "" if it has expired.
func (s *session) kept() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		return s.value
	}
	return ""
}

// forget drops the value after the receiver has rejected it. A newer value stays.
func (s *session) forget(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == value {
		s.value = ""
	}
}

// login gets a token and caches it.
func (s *session) login(ctx context.Context) (string, error) {
	var value string
	var life time.Duration
	var err error
	if s.oauth2 != nil {
		value, life, err = s.clientCredentials(ctx)
	} else {
		value, life, err = s.password(ctx)
	}
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value, s.until = value, time.Now().Add(life-min(life/10, maxMargin))
	return value, nil
}

// password logs in with user name and password.
func (s *session) password(ctx context.Context) (value string, life time.Duration, err error) {
	target, err := s.client.Prepare(s.auth.URL)
	if err != nil {
		return "", 0, fmt.Errorf("the login's URL %w", err)
	}
	if target, err = s.client.WithTLS(target, s.tlsFor(s.auth.URL)); err != nil {
		return "", 0, fmt.Errorf("the hook's tls cannot be used: %w", err)
	}
	body, contentType, err := s.credentials()
	if err != nil {
		return "", 0, err
	}
	deadline, _ := ctx.Deadline()
	r := s.client.Do(ctx, egress.Request{
		Target: target, Body: body, Timeout: max(time.Until(deadline), time.Millisecond),
		Header: egress.Header{{Name: "Accept", Value: "application/json"}, {Name: "Content-Type", Value: contentType}},
	})
	switch {
	case r.Cancelled:
		return "", 0, errors.New("the login did not answer in time")
	case !r.Success():
		return "", 0, fmt.Errorf("the login failed: %w", r.Err)
	}
	token, ok := s.auth.FindToken(r.Body)
	if !ok {
		return "", 0, errors.New("the login's answer has no token where token_key says")
	}
	return s.auth.TokenHeader(token), s.life(r.Body), nil
}

// credentials returns the body of a login by password.
func (s *session) credentials() (body []byte, contentType string, err error) {
	username, password := s.auth.LoginFields()
	if s.auth.LoginFormat == webhook.LoginForm {
		form := url.Values{username: {s.auth.Username}, password: {s.auth.Password}}
		return []byte(form.Encode()), "application/x-www-form-urlencoded", nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(map[string]string{username: s.auth.Username, password: s.auth.Password})
	return bytes.TrimSpace(b.Bytes()), "application/json", err
}

// life returns the lifetime of the token in the answer.
func (s *session) life(answer []byte) time.Duration {
	if said := expiresIn(answer); said > 0 {
		return said
	}
	if s.auth.ExpiresIn > 0 {
		return time.Duration(s.auth.ExpiresIn) * time.Second
	}
	return webhook.DefaultTokenLife
}

// tlsFor returns the hook's TLS identity for URLs on the target's own host, and nil for others: the identity is not
// meant for them.
func (s *session) tlsFor(raw string) *webhook.TLS {
	if hostOf(raw) == "" || hostOf(raw) != hostOf(s.hook.TargetURL) {
		return nil
	}
	return s.hook.Config.TLS
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// clientCredentials gets a token with the OAuth 2.0 client credentials grant.
func (s *session) clientCredentials(ctx context.Context) (value string, life time.Duration, err error) {
	client := s.client.HTTPClient(s.tlsFor(s.auth.TokenURL))
	client.Transport = plainExpiry{client.Transport}
	token, err := s.oauth2.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return "", 0, tokenError(ctx, err)
	}
	value = token.Type() + " " + token.AccessToken
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", 0, errors.New("the token endpoint's answer has a token that is no header")
	}
	life = webhook.DefaultTokenLife
	if !token.Expiry.IsZero() {
		life = max(time.Until(token.Expiry), 0)
	}
	return value, life, nil
}

// tokenErrors are the error codes of RFC 6749 section 5.2. Other text from the server is not repeated.
var tokenErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

func tokenError(ctx context.Context, err error) error {
	var refused *oauth2.RetrieveError
	var transport *url.Error
	switch {
	case errors.As(err, &refused) && refused.Response != nil:
		text := fmt.Sprintf("the token endpoint answered %d", refused.Response.StatusCode)
		if slices.Contains(tokenErrors, refused.ErrorCode) {
			text += ", " + refused.ErrorCode
		}
		return errors.New(text)
	case ctx.Err() != nil:
		return errors.New("the token endpoint did not answer in time")
	case errors.As(err, &transport):
		return fmt.Errorf("the token endpoint failed: %w", transport.Err)
	default:
		return errors.New("the token endpoint's answer has no usable token")
	}
}
