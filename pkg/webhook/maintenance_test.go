package webhook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestMaintenanceWindows(t *testing.T) {
	t.Parallel()
	const (
		day   = `{"maintenance":[{"start":"09:00","end":"10:30"}]}`
		night = `{"maintenance":[{"start":"22:00","end":"02:00","days":["fri"]}]}`
		// Berlin is one hour ahead of UTC in winter, two in summer
		berlin = `{"maintenance":[{"start":"09:00","end":"10:00","timezone":"Europe/Berlin"}]}`
	)
	tests := map[string]struct {
		config, at string
		want       bool
	}{
		"before it begins":                       {day, "2026-03-06T08:59:59Z", false},
		"as it begins":                           {day, "2026-03-06T09:00:00Z", true},
		"just before it ends":                    {day, "2026-03-06T10:29:59Z", true},
		"as it ends":                             {day, "2026-03-06T10:30:00Z", false},
		"before midnight on its day":             {night, "2026-03-06T23:00:00Z", true},
		"after midnight of its day":              {night, "2026-03-07T01:59:00Z", true},
		"after midnight of the day before it":    {night, "2026-03-06T01:00:00Z", false},
		"before midnight on another day":         {night, "2026-03-07T23:00:00Z", false},
		"in the zone's winter":                   {berlin, "2026-01-06T08:30:00Z", true},
		"outside of it in the zone's winter":     {berlin, "2026-01-06T07:30:00Z", false},
		"in the zone's summer":                   {berlin, "2026-07-06T07:30:00Z", true},
		"never, where there is none":             {`{}`, "2026-03-06T09:00:00Z", false},
		"a window that ends when it starts":      {`{"maintenance":[{"start":"09:00","end":"09:00"}]}`, "2026-03-06T03:00:00Z", true},
		"in the second of two":                   {`{"maintenance":[{"start":"01:00","end":"02:00"},{"start":"03:00","end":"04:00"}]}`, "2026-03-06T03:30:00Z", true},
		"a time that is told in another zone":    {day, "2026-03-06T12:00:00+03:00", true},
		"null, which is none, and all is normal": {`{"maintenance":null}`, "2026-03-06T09:00:00Z", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, test.at)
			require.NoError(t, err)
			c := parseConfig(t, test.config)
			require.Equal(t, test.want, c.InMaintenance(at))
		})
	}
}

func TestRefusedMaintenanceWindowsArePointedAt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		window, want string
	}{
		"a start that is no time":   {`{"start":"25:00","end":"02:00"}`, "/maintenance/0/start"},
		"no end":                    {`{"start":"22:00"}`, "/maintenance/0/end"},
		"an unknown day":            {`{"start":"22:00","end":"02:00","days":["friday"]}`, "/maintenance/0/days"},
		"an unknown zone":           {`{"start":"22:00","end":"02:00","timezone":"Mars/Olympus"}`, "/maintenance/0/timezone"},
		"a zone that is a path":     {`{"start":"22:00","end":"02:00","timezone":"../../etc/passwd"}`, "/maintenance/0/timezone"},
		"the machine's zone":        {`{"start":"22:00","end":"02:00","timezone":"Local"}`, "/maintenance/0/timezone"},
		"an unknown field":          {`{"start":"22:00","end":"02:00","zone":"UTC"}`, "/maintenance/0/zone"},
		"a window that is a string": {`"22:00-02:00"`, "/maintenance/0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseConfig([]byte(`{"maintenance":[` + test.window + `]}`))
			require.Equal(t, []string{test.want}, pointers(t, err))
		})
	}
}
