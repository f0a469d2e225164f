package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/doctor"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/load"
)

func TestTheDoctorInAContainerIsCalledByItsAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		command   doctorCommand
		container bool
		all       bool   // it listens on all addresses
		url       string // without the port
	}{
		{"on a machine", doctorCommand{}, false, false, "http://127.0.0.1"},
		{"in a container", doctorCommand{}, true, true, "http://127.0.0.1"}, // the address from which the API below is reached
		{"told where to listen", doctorCommand{Listen: "127.0.0.1:0"}, true, false, "http://127.0.0.1"},
		{"told to listen everywhere", doctorCommand{Listen: "0.0.0.0:0"}, false, true, "http://127.0.0.1"},
		{"told its URL", doctorCommand{ReceiverURL: "https://doctor.example.com"}, true, true, "https://doctor.example.com"},
	} {
		p, err := test.command.place(t.Context(), "http://127.0.0.1:8080", test.container)
		require.NoError(t, err, test.name)
		require.NoError(t, p.listener.Close())
		at, err := netip.ParseAddrPort(p.listener.Addr().String())
		require.NoError(t, err)
		require.Equal(t, test.all, at.Addr().IsUnspecified(), test.name)
		if test.command.ReceiverURL == "" {
			test.url += fmt.Sprintf(":%d", at.Port())
		}
		require.Equal(t, test.url, p.url, test.name)
	}
}

func TestTheDoctorNamesTheSettingThatKeepsWebhooksFromItsContainer(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"status": 422, "detail": "private addresses are blocked"}`))
	}))
	defer api.Close()
	server, err := client.New(client.Options{URL: api.URL, Token: "wsp_x"})
	require.NoError(t, err)
	c := doctorCommand{EgressAllow: "172.17.0.1"}
	f := c.testWebhook(t.Context(), server, true)
	require.Equal(t, doctor.Skipped, f.Level)
	require.Contains(t, f.Text, "may not be 127.0.0.1, this machine")
	require.Contains(t, f.Mend, "WHISPERER_EGRESS_ALLOW=172.17.0.1,127.0.0.1 ")

	c.EgressAllow, c.EgressPorts = "127.0.0.0/8", "443" // set here but not for the services
	require.Contains(t, c.testWebhook(t.Context(), server, true).Mend, "WHISPERER_EGRESS_ALLOW=127.0.0.0/8 ")
	c.EgressAllow = "172.17.0.1"
	p, err := c.place(t.Context(), api.URL, true)
	require.NoError(t, err)
	require.NoError(t, p.listener.Close())
	f = p.judge(nil, load.ErrUnreachable)
	require.Equal(t, doctor.Problem, f.Level)
	u, err := url.Parse(p.url)
	require.NoError(t, err)
	require.Contains(t, f.Text, u.Host)
	require.Contains(t, f.Mend, "WHISPERER_EGRESS_ALLOW=172.17.0.1,127.0.0.1?")
}
