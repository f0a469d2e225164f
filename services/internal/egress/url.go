package egress

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// TargetError says why a URL cannot be a target; errors.Is(err, webhook.ErrInvalid) holds. Its text completes
// "target_url …", names a rule, and reveals nothing about what listens where.
type TargetError struct{ Detail string }

// Error returns the detail.
func (e *TargetError) Error() string { return e.Detail }

// Is reports whether target is webhook.ErrInvalid.
func (e *TargetError) Is(target error) bool { return target == webhook.ErrInvalid }

func refuse(format string, args ...any) error {
	return &TargetError{Detail: fmt.Sprintf(format, args...)}
}

// errForbiddenTarget is the same answer for every forbidden name and address, so that it reveals nothing about them.
func errForbiddenTarget() error {
	return refuse("is blocked: private addresses need WHISPERER_EGRESS_ALLOW")
}

// location is a URL that was parsed and checked.
type location struct {
	canonical string
	url       *url.URL
	path      string // path and query exactly as written, which is how they are sent
}

// CheckURL reports whether a URL may be the target of a hook, as far as that can be decided without DNS. It returns
// the URL with scheme and host in lower case, the host in its ASCII form (IDNA), without the scheme's default port,
// and with characters outside ASCII percent-encoded; path and query are otherwise unchanged. It returns a
// *TargetError for anything but a plain http or https URL, and for hosts and ports that the policy forbids.
func (p Policy) CheckURL(raw string) (canonical string, err error) {
	loc, err := newGuard(p).locate(raw)
	return loc.canonical, err
}

func (g guard) locate(raw string) (location, error) {
	if err := checkText(raw); err != nil {
		return location{}, err
	}
	scheme, rest, _ := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return location{}, refuse("must begin with http:// or https://")
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	host, port, err := splitAuthority(authority)
	if err != nil {
		return location{}, err
	}
	if host, err = g.checkPlace(host, port, scheme); err != nil {
		return location{}, err
	}
	if n, _ := parsePort(strings.TrimPrefix(port, ":")); scheme == "http" && n == 80 || scheme == "https" && n == 443 {
		port = "" // the default port, which makes no difference
	}
	canonical := scheme + "://" + host + port + escapeNonASCII(tail)
	u, err := url.Parse(canonical)
	// What net/http takes for the host must be exactly what is checked here.
	if err != nil || u.Host != host+port || u.User != nil || u.Fragment != "" {
		return location{}, refuse("is not a valid URL: a %% must be followed by two hexadecimal digits")
	}
	if len(canonical) > webhook.MaxTargetURL {
		return location{}, refuse("must not be longer than %d characters", webhook.MaxTargetURL)
	}
	path := escapeNonASCII(tail)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return location{canonical: canonical, url: u, path: path}, nil
}

// checkText refuses what no URL may contain in any part.
func checkText(raw string) error {
	switch {
	case raw == "":
		return refuse("must not be empty")
	case len(raw) > webhook.MaxTargetURL:
		return refuse("must not be longer than %d characters", webhook.MaxTargetURL)
	case !utf8.ValidString(raw):
		return refuse("is not valid UTF-8")
	case strings.Contains(raw, `\`):
		return refuse("must not contain a backslash")
	case strings.Contains(raw, "#"):
		return refuse("must not have a fragment (#…): it is never sent")
	}
	for _, r := range raw {
		if r == ' ' || !unicode.IsPrint(r) {
			return refuse("must not contain spaces, line breaks or invisible characters")
		}
	}
	return nil
}

// splitAuthority separates host and port; the port keeps its colon and is empty if there is none.
func splitAuthority(authority string) (host, port string, err error) {
	if strings.Contains(authority, "@") {
		return "", "", refuse("must not contain a user name or password")
	}
	if strings.Contains(authority, "%") {
		return "", "", refuse("must have a host without percent-encoding and without a zone")
	}
	host = authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i:]
		if _, ok := parsePort(port[1:]); !ok {
			return "", "", refuse("must have a port from 1 to 65535, or none")
		}
	}
	if host == "" {
		return "", "", refuse("must have a host")
	}
	return host, port, nil
}

// checkPlace checks host and port and returns the host in canonical form.
func (g guard) checkPlace(host, port, scheme string) (string, error) {
	number := uint16(80)
	if scheme == "https" {
		number = 443
	}
	if port != "" {
		number, _ = parsePort(port[1:])
	}
	host, addr, err := canonicalHost(host)
	if err != nil {
		return "", err
	}
	if addr.IsValid() {
		if !g.allows(addr) && !g.portPermitted(number) {
			return "", g.portRefused()
		}
		if !g.permits(netip.AddrPortFrom(addr, number)) {
			return "", errForbiddenTarget()
		}
		return host, nil
	}
	if err := g.checkName(host); err != nil {
		return "", err
	}
	if !g.allowsAny() && !g.portPermitted(number) {
		return "", g.portRefused()
	}
	return host, nil
}

func (g guard) portRefused() error {
	ports := make([]string, len(g.policy.Ports))
	for i, p := range g.policy.Ports {
		ports[i] = strconv.Itoa(int(p))
	}
	return refuse("must have one of the ports %s", strings.Join(ports, ", "))
}

// escapeNonASCII percent-encodes what is not ASCII as UTF-8, as browsers do.
func escapeNonASCII(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			b.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}
