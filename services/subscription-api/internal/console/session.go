package console

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

const (
	// sessionLife is how long a person stays signed in.
	sessionLife = 12 * time.Hour
	// sessionOwner binds a sealed session to its purpose.
	sessionOwner = "console session"
	cookieName   = "whisperer"
	themeCookie  = "whisperer_theme"
	themeLife    = 365 * 24 * time.Hour
)

// session is the content of the sealed cookie. The server only stores sessions that were ended early. The session
// contains no secret of the token. The token is looked up for each request, so its revocation ends the session.
type session struct {
	ID    uuid.UUID `json:"id"`
	Token uuid.UUID `json:"token"`
	// Tenant is an operator's choice; empty for a token that belongs to a tenant.
	Tenant  string    `json:"tenant,omitempty"`
	Expires time.Time `json:"expires"`
}

func (c *console) sealSession(s session) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	box := c.Ring.Seal(plain, sessionOwner)
	return box.KeyID + "." + base64.RawURLEncoding.EncodeToString(box.Box), nil
}

// openSession opens a cookie's value. ok is false if it is forged or has expired.
func (c *console) openSession(value string) (s session, ok bool) {
	key, box, found := strings.Cut(value, ".")
	raw, err := base64.RawURLEncoding.DecodeString(box)
	if !found || err != nil {
		return s, false
	}
	plain, err := c.Ring.Open(seal.Sealed{KeyID: key, Box: raw}, sessionOwner)
	if err != nil || json.Unmarshal(plain, &s) != nil {
		return s, false
	}
	return s, time.Now().Before(s.Expires)
}

// sessionOf returns the session of a request. ok is false if there is no valid one.
func (c *console) sessionOf(r *http.Request) (s session, ok bool) {
	cookie, err := r.Cookie(cookieFor(r, cookieName))
	if err != nil {
		return s, false
	}
	return c.openSession(cookie.Value)
}

func (c *console) sessionCookie(r *http.Request, s session) (*http.Cookie, error) {
	value, err := c.sealSession(s)
	if err != nil {
		return nil, err
	}
	cookie := newCookie(r, cookieName, value) //nolint:gosec // secure but for this machine itself
	cookie.Expires, cookie.MaxAge = s.Expires, int(time.Until(s.Expires).Seconds())
	return cookie, nil
}

// newCookie returns a cookie that only this host gets, and only over TLS. On loopback without TLS it returns one
// without the prefix, which browsers would refuse there.
func newCookie(r *http.Request, name, value string) *http.Cookie {
	secure := !plainLoopback(r)
	return &http.Cookie{ //nolint:gosec // secure but for this machine itself
		Name: cookieFor(r, name), Value: value, Path: "/", Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func cookieFor(r *http.Request, name string) string {
	if plainLoopback(r) {
		return name
	}
	return "__Host-" + name
}

func dropped(r *http.Request, name string) *http.Cookie {
	cookie := newCookie(r, name, "") //nolint:gosec // secure but for this machine itself
	cookie.MaxAge = -1
	return cookie
}

// plainLoopback reports whether the request came without TLS to this machine itself.
func plainLoopback(r *http.Request) bool { return !daemon.Encrypted(r) && loopback(r.Host) }

func loopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
