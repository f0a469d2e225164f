package egress

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

const (
	maxNameLength  = 253
	maxLabelLength = 63
	acePrefix      = "xn--"
)

// metadataNames lead to the metadata services of clouds and to the Kubernetes API, whatever they resolve to.
var metadataNames = []string{
	"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
	"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
}

// loopbackNames mean this machine, as does every name under .localhost (RFC 6761).
var loopbackNames = []string{"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}

// insideSuffixes are of names that only exist inside a network (RFC 6762, RFC 8375, ICANN's list of private names).
var insideSuffixes = []string{
	".local", ".localdomain", ".internal", ".intranet", ".lan", ".private", ".corp", ".home", ".svc", ".arpa",
}

// checkName checks a host name. If the operator allows any networks, an internal name may resolve into one of them;
// then the dialer decides.
func (g guard) checkName(name string) error {
	inside := !strings.Contains(name, ".") ||
		slices.ContainsFunc(insideSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
	loopback := slices.Contains(loopbackNames, name) || strings.HasSuffix(name, ".localhost")
	switch {
	case slices.Contains(metadataNames, name),
		loopback && !g.allowsLoopback(),
		inside && !loopback && !g.allowsAny():
		return errForbiddenTarget()
	default:
		return nil
	}
}

// canonicalHost returns a host in canonical form, and its address if the host is one.
func canonicalHost(host string) (string, netip.Addr, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if err != nil || !addr.Is6() || !closed {
			return "", netip.Addr{}, refuse("has a host in brackets that is not an IPv6 address")
		}
		return "[" + addr.String() + "]", addr, nil
	}
	name, err := asciiName(host)
	if err != nil {
		return "", netip.Addr{}, err
	}
	if !endsInNumber(name) {
		return name, netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return "", netip.Addr{}, refuse("has a host that looks like an address but is not four decimal numbers")
	}
	return addr.String(), addr, nil
}

// endsInNumber reports whether the last label is a number. Some programs take such a host for an IPv4 address (WHATWG
// URL, section 3.5), and no real name ends like that.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// asciiName returns a name in lower-case ASCII, or an error. Each label must be valid in DNS, and a label with
// characters outside ASCII must not be a look-alike.
func asciiName(host string) (string, error) {
	name := strings.ToLower(host)
	if !isASCII(host) {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil || !sameLabels(host, ascii) {
			return "", refuse("has a host with characters that host names do not have")
		}
		name = ascii
	}
	if len(name) > maxNameLength {
		return "", refuse("has a host longer than %d characters", maxNameLength)
	}
	if strings.HasSuffix(name, ".") {
		return "", refuse("has a host that ends in a dot")
	}
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return "", refuse("has a host that is not a valid name")
		}
		if strings.HasPrefix(label, acePrefix) && !honestLabel(label) {
			return "", refuse("has a host with characters that can be taken for others")
		}
	}
	return name, nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// sameLabels reports whether IDNA kept the boundaries between labels and turned no label with characters outside
// ASCII into a pure ASCII one. Those would be look-alikes of something else (①②⑦, ⓛⓞⓒⓐⓛⓗⓞⓢⓣ, a fullwidth dot).
func sameLabels(host, ascii string) bool {
	before, after := strings.Split(host, "."), strings.Split(ascii, ".")
	if len(before) != len(after) {
		return false
	}
	for i := range before {
		if !isASCII(before[i]) && !strings.HasPrefix(after[i], acePrefix) {
			return false
		}
	}
	return true
}

func validLabel(label string) bool {
	if label == "" || len(label) > maxLabelLength || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// honestLabel reports whether an xn-- label is the encoding of what it decodes to, and does not mix scripts.
func honestLabel(label string) bool {
	text, err := idna.Lookup.ToUnicode(label)
	if err != nil {
		return false
	}
	again, err := idna.Lookup.ToASCII(text)
	return err == nil && again == label && !mixesScripts(text)
}

// usualMixes are the scripts that one language writes together (Unicode UTS 39, highly restrictive).
var usualMixes = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
}

func mixesScripts(text string) bool {
	var used []string
	for _, r := range text {
		for script, table := range unicode.Scripts {
			if script != "Common" && script != "Inherited" && unicode.Is(table, r) && !slices.Contains(used, script) {
				used = append(used, script)
			}
		}
	}
	if len(used) <= 1 {
		return false
	}
	return !slices.ContainsFunc(usualMixes, func(mix []string) bool {
		return !slices.ContainsFunc(used, func(script string) bool { return !slices.Contains(mix, script) })
	})
}
