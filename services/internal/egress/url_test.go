package egress_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// refusedURLs are refused by the default policy because of their text alone.
var refusedURLs = map[string][]string{
	"loopback": {
		"http://127.0.0.1/", "http://127.0.0.2/", "http://127.255.255.254/", "http://localhost/", "http://LOCALHOST/",
		"http://localhost./", "http://foo.localhost/", "http://localhost.localdomain/", "http://ip6-localhost/",
		"http://0.0.0.0/", "http://0.1.2.3/", "http://0/", "http://:80/",
	},
	"number forms": {
		"http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0X7F000001/",
		"http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.000.000.001/",
		"http://127.0.0.1./", "http://2852039166/", "http://0xa9fea9fe/", "http://0x/", "http://1.2.3.4.5/",
		"http://8.8.8.08/", "http://256.1.1.1/", "http://example.com.1/", "http://8.8.8.0x8/",
	},
	"IPv6": {
		"http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
		"http://[::ffff:169.254.169.254]/", "http://[::ffff:8.8.8.8]/", "http://[::127.0.0.1]/",
		"http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b:1::7f00:1]/",
		"http://[2002:7f00:1::]/", "http://[2001:0:7f00:1::]/", "http://[2001:db8::1]/", "http://[3fff::1]/",
		"http://[5f00::1]/", "http://[100::1]/", "http://[fe80::1]/", "http://[fe80::1%25lo]/", "http://[fe80::1%lo]/",
		"http://[fec0::1]/", "http://[fc00::1]/", "http://[fd00:ec2::254]/", "http://[fd20:ce::254]/",
		"http://[ff02::1]/", "http://[1::1]/", "http://[127.0.0.1]/", "http://[2606:4700::1/", "http://2606:4700::1/",
		"http://[]/", "http://[2606:4700::1]x/", "http://[2606:4700::1]:/",
	},
	"metadata": {
		"http://169.254.169.254/latest/meta-data/", "http://169.254.170.2/", "http://169.254.169.123/",
		"http://100.100.100.200/", "http://192.0.0.192/", "http://168.63.129.16/", "http://metadata.google.internal/",
		"http://Metadata.Google.Internal/", "http://metadata/", "http://kubernetes.default.svc/",
		"http://instance-data.ec2.internal/",
	},
	"private and reserved": {
		"http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.0.1/", "http://100.64.0.1/",
		"http://192.0.0.1/", "http://192.0.2.1/", "http://192.88.99.1/", "http://198.18.0.1/", "http://198.51.100.1/",
		"http://203.0.113.1/", "http://224.0.0.1/", "http://240.0.0.1/", "http://255.255.255.255/",
	},
	"Unicode": {
		"http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://127．0．0．1/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://ｌocalhost/",
		"http://example。com/", "http://exa\u00admple.com/", "http://ｅxample.com/",
		"http://аpple.com/", "http://xn--pple-43d.com/", "http://xn--/", "http://xn--a/", "http://xn--localhost-/",
		"http://xn--example-.com/", "http://paypaⅼ.com/", "http://ex\u200bample.com/", "http://ex\u202eample.com/",
		"http://☃\u200d.net/", "http://\xff.com/",
	},
	"parser confusion": {
		"http://hooks.example.com@127.0.0.1/", "http://user:pass@127.0.0.1/", "http://user@hooks.example.com/",
		"http://@hooks.example.com/", `http://127.0.0.1\@hooks.example.com/`, `http://hooks.example.com\.evil.com/`,
		"http://hooks.example.com#@127.0.0.1/", "http://127.0.0.1%00hooks.example.com/", "http://%31%32%37.0.0.1/",
		"http://hooks%2eexample.com/", "http://127.0.0.1:80:80/", "http://hooks.example.com:80:80/",
		"http://hooks.example.com:99999/", "http://hooks.example.com:0/", "http://hooks.example.com:/",
		"http://hooks.example.com:-1/", "http://hooks.example.com:+80/", "http://hooks.example.com:0080/",
		"http://hooks.example.com:80a/", "http:127.0.0.1/", "http:/127.0.0.1/", "http:///etc/passwd", "//127.0.0.1/",
		"hooks.example.com", "/hooks", "?", "http://", "http://?x", "http://hooks.example.com/\r\nX: y",
		"http://hooks.example.com/\n", "http://hooks.example.com/\tx", "http://hooks.example.com/a b",
		" http://hooks.example.com/", "http://hooks.example.com/ ", "http://hooks.example.com/\x00",
		"http://hooks.example.com/\u00a0", "http://hooks.example.com/%zz", "http://hooks.example.com/\u202e",
		"http://hooks.example.com/\xff", "http://hooks.example.com;.evil.com/", "http://hooks.example.com&x/",
		"http://hooks.example.com,127.0.0.1/", "http://hooks..example.com/", "http://.example.com/", "http://./",
		"http://-a.example.com/", "http://a-.example.com/", "http://hooks.example.com./", "http://*.example.com/",
		"http://hooks.example.com/#", "http://hooks.example.com/#fragment",
	},
	"schemes": {
		"file:///etc/passwd", "gopher://hooks.example.com/", "ftp://hooks.example.com/", "dict://hooks.example.com/",
		"ldap://hooks.example.com/", "unix:///run/docker.sock", "http+unix://hooks.example.com/", "javascript:alert(1)",
		"javascript://hooks.example.com/%0aalert(1)", "data:text/plain,x", "ws://hooks.example.com/", "://x", "",
		"https//hooks.example.com/", "httpſ://hooks.example.com/",
	},
	"names of the inside": {
		"http://kubernetes/", "http://receiver/", "http://db.internal/", "http://printer.local/", "http://nas.lan/",
		"http://api.default.svc/", "http://api.default.svc.cluster.local/", "http://router.home.arpa/",
		"http://" + strings.Repeat("a.", 126) + "aa/", "http://" + strings.Repeat("a", 64) + ".com/",
	},
	"ports": {
		"http://hooks.example.com:22/", "http://hooks.example.com:25/", "http://hooks.example.com:4222/",
		"http://hooks.example.com:5432/", "http://8.8.8.8:6379/", "https://[2606:4700::1111]:8222/",
	},
	"length": {
		"http://hooks.example.com/" + strings.Repeat("a", 2048-len("http://hooks.example.com/")+1),
		"http://hooks.example.com/" + strings.Repeat("é", 700),
	},
}

func TestCheckURLRefuses(t *testing.T) {
	t.Parallel()
	for class, urls := range refusedURLs {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			client := egress.NewClient(egress.Options{})
			for _, raw := range urls {
				_, err := egress.Policy{}.CheckURL(raw)
				var refusal *egress.TargetError
				require.ErrorAs(t, err, &refusal, raw)
				require.ErrorIs(t, err, webhook.ErrInvalid)

				// A URL that was written to the database without the API is refused as well.
				target, err := client.Prepare(raw)
				require.Error(t, err, raw)
				got := client.Do(t.Context(), egress.Request{Target: target})
				require.Equal(t, webhook.ClassForbidden, got.Class, raw)
				require.Zero(t, got.Timings, raw)
			}
		})
	}
}

func TestCheckURLAccepts(t *testing.T) {
	t.Parallel()
	long := "http://hooks.example.com/" + strings.Repeat("a", 2048-len("http://hooks.example.com/"))
	for raw, want := range map[string]string{
		"http://example.com/":           "",
		"https://example.com":           "",
		"https://example.com?x=1&y=a;b": "",
		"https://hooks.example.com:8443/a/b;c=d/%2F/..//e?q=a+b%20c&empty=&u=http://127.0.0.1/@x:y": "",
		"http://my_hook.example.com:8080/":  "",
		"http://r3---sn-4g5.example.com/":   "",
		"http://8.8.8.8/":                   "",
		"http://1.1.1.1:80/":                "http://1.1.1.1/",
		"https://[2606:4700::1111]:443/x":   "https://[2606:4700::1111]/x",
		"HTTPS://Hooks.Example.com:443":     "https://hooks.example.com",
		"https://hooks.example.com:80/":     "",
		"http://127.0.0.1.nip.example.com/": "", // a name: the dialer checks what it resolves to
		"http://0x7f.example.com/":          "",
		long:                                "",
		"HTTP://Hooks.EXAMPLE.com/Path?Q":   "http://hooks.example.com/Path?Q",
		"https://[2606:4700:0:0::1111]/":    "https://[2606:4700::1111]/",
		"https://bücher.example/":           "https://xn--bcher-kva.example/",
		"https://BÜCHER.example/":           "https://xn--bcher-kva.example/",
		"https://xn--bcher-kva.example/":    "",
		"https://例え.テスト/":                   "https://xn--r8jz45g.xn--zckzah/",
		"https://пример.example/":           "https://xn--e1afmkfd.example/",
		"https://example.com/café?q=ü":      "https://example.com/caf%C3%A9?q=%C3%BC",
	} {
		t.Run(raw[:min(len(raw), 40)], func(t *testing.T) {
			t.Parallel()
			got, err := egress.Policy{}.CheckURL(raw)
			require.NoError(t, err)
			if want == "" {
				want = raw
			}
			require.Equal(t, want, got)
			again, err := egress.Policy{}.CheckURL(got)
			require.NoError(t, err)
			require.Equal(t, got, again, "the canonical form is its own")
		})
	}
}

func TestAllowedNetworksMayBeCalledByAddressAndByName(t *testing.T) {
	t.Parallel()
	policy, err := egress.ParsePolicy("127.0.0.0/8,10.1.0.0/16", "443")
	require.NoError(t, err)
	for _, raw := range []string{
		"http://127.0.0.1:9000/", "http://localhost:9000/", "http://app.localhost/", "http://10.1.2.3:6000/",
		"http://receiver:9000/", "http://receiver.default.svc:9000/", "https://example.com/", "http://receiver.example.com:9000/",
	} {
		_, err := policy.CheckURL(raw)
		require.NoError(t, err, raw)
	}
	for _, raw := range []string{
		"http://10.2.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://①②⑦.⓪.⓪.①/", "http://127.1/",
		"http://8.8.8.8/", "http://metadata.google.internal/", "http://kubernetes.default.svc/", "http://169.254.169.254/",
	} {
		_, err := policy.CheckURL(raw)
		require.Error(t, err, raw)
	}
	inside, err := egress.ParsePolicy("10.1.0.0/16", "")
	require.NoError(t, err)
	_, err = inside.CheckURL("http://localhost:9000/")
	require.Error(t, err, "this machine is not in the allowed network")
}

func TestForbiddenPlacesAreAllAnsweredAlike(t *testing.T) {
	t.Parallel()
	_, want := egress.Policy{}.CheckURL("http://10.0.0.1/")
	for _, raw := range []string{"http://127.0.0.1/", "http://localhost/", "http://metadata/", "http://[::1]/", "http://db.internal/"} {
		_, err := egress.Policy{}.CheckURL(raw)
		require.EqualError(t, err, want.Error(), raw)
	}
}

// For every text that is accepted, the canonical form is stable, short, printable ASCII without user or fragment.
func TestCheckURLProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.OneOf(
			rapid.SampledFrom([]string{"http://", "https://", "example.com", "@", ":", "80", "[", "]", "::1", "/", "?", "#", "%", "%41", "127.0.0.1", "xn--", "é", "。", `\`, ".", "0x7f"}),
			rapid.String(),
		)
		raw := strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces"), "")
		for _, prefix := range []string{"", "http://example.com/", "http://"} {
			got, err := egress.Policy{}.CheckURL(prefix + raw)
			if err != nil {
				continue
			}
			again, err := egress.Policy{}.CheckURL(got)
			require.NoError(t, err)
			require.Equal(t, got, again)
			require.LessOrEqual(t, len(got), 2048)
			require.NotContains(t, got, "#")
			require.Equal(t, -1, strings.IndexFunc(got, func(r rune) bool { return r <= ' ' || r >= 0x7f }))
		}
	})
}
