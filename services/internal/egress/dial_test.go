package egress_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

const empty200 = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// closing200 ends the connection, so that the next request does not race with its end.
const closing200 = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// forbiddenAddrs are addresses that no name may resolve to.
var forbiddenAddrs = strings.Fields(`
	127.0.0.1 127.0.0.2 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1
	192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255
	169.254.169.254 169.254.170.2 169.254.169.123 100.100.100.200 192.0.0.192 168.63.129.16
	::1 :: ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::ffff:168.63.129.16 ::127.0.0.1
	::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1:: 2001:0:7f00:1:: 2001:db8::1 3fff::1 5f00::1
	100::1 fe80::1 fe80::1%lo fec0::1 fc00::1 fd00:ec2::254 fd20:ce::254 ff02::1 1::1`)

func TestNamesThatLeadToForbiddenAddressesAreNotCalled(t *testing.T) {
	t.Parallel()
	canary := listen(t, answering(empty200))
	port := netip.MustParseAddrPort(canary.address).Port()
	for _, addr := range forbiddenAddrs {
		for _, answer := range []string{addr, "9.9.9.9 " + addr, addr + " 2606:4700::1111"} {
			client := egress.NewClient(egress.Options{
				Policy: egress.Policy{Ports: []uint16{port}}, Resolver: answers(answer),
			})
			got := post(t, client, "http://hooks.example.com:"+portOf(canary))
			require.Equal(t, webhook.ClassForbidden, got.Class, answer)
			require.EqualError(t, got.Err, "the target is blocked: private addresses need WHISPERER_EGRESS_ALLOW")
			require.Zero(t, got.Timings.Connect)
			require.Zero(t, got.Timings.FirstByte)
		}
	}
	require.Zero(t, canary.connections.Load())
}

func TestANameThatChangesItsAnswerGainsNothing(t *testing.T) {
	t.Parallel()
	// 127.0.0.2 stands for a public address, 127.0.0.1 for a private one.
	canary := listenOn(t, "127.0.0.1:0", once(closing200))
	receiver := listenOn(t, "127.0.0.2:"+portOf(canary), once(closing200)) // an address on which hardly any port is taken
	policy, err := egress.ParsePolicy("127.0.0.2", "")
	require.NoError(t, err)
	resolver := answers("127.0.0.2", "127.0.0.1", "127.0.0.2 127.0.0.1")
	client := egress.NewClient(egress.Options{Policy: policy, Resolver: resolver})
	defer client.Close()
	url := "http://hooks.example.com:" + portOf(receiver)

	require.True(t, post(t, client, url).Success())
	require.Equal(t, int64(1), resolver.asked.Load(), "a connection resolves its name once")
	client.Close() // the receiver has closed the connection, but the client may not have noticed
	require.Equal(t, webhook.ClassForbidden, post(t, client, url).Class, "another answer")
	require.Equal(t, webhook.ClassForbidden, post(t, client, url).Class, "a mixed answer")
	require.Equal(t, int64(3), resolver.asked.Load())
	require.Equal(t, int64(1), receiver.connections.Load())
	require.Zero(t, canary.connections.Load())
}

func TestPortsOfPublicAddressesAreJudgedWhenTheNameIsResolved(t *testing.T) {
	t.Parallel()
	client := egress.NewClient(egress.Options{Policy: loopback(t), Resolver: answers("9.9.9.9")})
	got := post(t, client, "http://hooks.example.com:22/")
	require.Equal(t, webhook.ClassForbidden, got.Class)
}

func TestWhatListensInsideCannotBeToldFromTheAnswer(t *testing.T) {
	t.Parallel()
	open := listen(t, answering(empty200))
	closed := netip.MustParseAddrPort(closedPort(t))
	client := egress.NewClient(egress.Options{
		Policy:   egress.Policy{Ports: []uint16{netip.MustParseAddrPort(open.address).Port(), closed.Port()}},
		Resolver: answers("127.0.0.1"),
	})
	a := post(t, client, "http://hooks.example.com:"+portOf(open))
	b := post(t, client, "http://hooks.example.com:"+portOf(&receiver{address: closed.String()}))
	require.Equal(t, a.Class, b.Class)
	require.EqualError(t, a.Err, b.Err.Error())
	require.Zero(t, open.connections.Load())
}

func TestNamesThatDoNotResolve(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		resolver *names
		text     string
	}{
		"does not exist":      {&names{err: &net.DNSError{IsNotFound: true}}, "the target's host name does not exist"},
		"server fails":        {&names{err: &net.DNSError{Err: "server misbehaving 10.0.0.53"}}, "the target's host name could not be resolved"},
		"any other error":     {&names{err: errors.New("odd")}, "the target's host name could not be resolved"},
		"server is silent":    {&names{block: true}, "the target's host name was not resolved in time"},
		"has no address":      {answers(""), "the target's host name has no address"},
		"times out by itself": {&names{err: &net.DNSError{IsTimeout: true}}, "the target's host name was not resolved in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := egress.NewClient(egress.Options{Resolver: c.resolver, DialTimeout: 200 * time.Millisecond})
			got := post(t, client, "https://hooks.example.com/")
			require.Equal(t, webhook.ClassDNS, got.Class)
			require.EqualError(t, got.Err, c.text)
			require.Less(t, got.Duration, 5*time.Second)
		})
	}
}

func TestTheDeadlineIsChargedToTheLookUpThatTookIt(t *testing.T) {
	t.Parallel()
	client := egress.NewClient(egress.Options{Resolver: &names{block: true}, DialTimeout: time.Second})
	got := do(t, client, "http://hooks.example.com/", egress.Request{Timeout: 100 * time.Millisecond})
	require.Equal(t, webhook.ClassDNS, got.Class)
}

func TestTheNextAddressIsTriedIfOneDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := listenOn(t, "127.0.0.3:0", answering(empty200))
	client := newClient(t, egress.Options{Resolver: answers("127.0.0.4 ::ffff:127.0.0.3")})
	got := post(t, client, "http://hooks.example.com:"+portOf(server))
	require.True(t, got.Success(), "%v", got.Err)
	require.Positive(t, got.Timings.DNS)

	client = newClient(t, egress.Options{Resolver: answers("127.0.0.4 127.0.0.5")})
	got = post(t, client, "http://hooks.example.com:"+portOf(server))
	require.Equal(t, webhook.ClassRefused, got.Class)
}

func TestSystemResolverKnowsThisMachine(t *testing.T) {
	t.Parallel()
	server := listen(t, answering(empty200))
	policy, err := egress.ParsePolicy("127.0.0.0/8,::1", "")
	require.NoError(t, err)
	client := egress.NewClient(egress.Options{Policy: policy})
	defer client.Close()
	require.True(t, post(t, client, "http://localhost:"+portOf(server)).Success())
}

func portOf(r *receiver) string { return r.address[strings.LastIndexByte(r.address, ':')+1:] }
