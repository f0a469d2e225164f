package daemon_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// asService makes the test binary behave as a service, so that tests see what a shell sees.
const asService = "TEST_AS_SERVICE=1"

type service struct{}

func (service) Components() []daemon.Component { return nil }

func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_SERVICE") != "" {
		type config struct {
			daemon.Logging
			URL string `env:"URL,required" desc:"where it is"`
		}
		os.Exit(daemon.Main("service", "v1.2.3", os.Args[1:], os.Environ(), func(context.Context, config, daemon.Process) (service, error) {
			return service{}, errors.New("started")
		}))
	}
	goleak.VerifyTestMain(m)
}

func TestAServiceSaysWhatItIsAndRefusesArgumentsThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args        string
		code        int
		out, errOut string
	}{
		{"--version", 0, "service v1.2.3\n", ""},
		{"--help", 0, "WHISPERER_URL         required  where it is\n", ""},
		{"-h", 0, "WHISPERER_LOG_LEVEL   info ", ""},
		{"migrate", 2, "", `service: unknown argument ["migrate"]; see service --help`},
		{"--log-level debug", 2, "", "--help"},
		{"healthcheck --now", 2, "", "--help"},
		{"", 1, "", "WHISPERER_URL is required"},
	} {
		var out, errOut strings.Builder
		c := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(test.args)...)
		c.Env, c.Stdout, c.Stderr = []string{asService}, &out, &errOut
		_ = c.Run() // the test checks the exit code
		require.Equal(t, test.code, c.ProcessState.ExitCode(), "%s: %s", test.args, errOut.String())
		require.Contains(t, out.String(), test.out, test.args)
		require.Contains(t, errOut.String(), test.errOut, test.args)
	}
}

func TestAServiceShoutsAtSecretsThatArePublic(t *testing.T) {
	t.Parallel()
	start := func(environ ...string) string {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append([]string{asService, "WHISPERER_URL=x", "OTHER=development-only"}, environ...)
		out, err := c.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "started")
		return string(out)
	}
	require.NotContains(t, start("WHISPERER_MASTER_KEY=s3cr3t"), "public")
	for _, line := range []string{
		"WHISPERER_MASTER_KEY=s3cr3t,aW5zZWN1cmUtZGV2ZWxvcG1lbnQtbWFzdGVyLWtleSE=", "WHISPERER_NATS_PASSWORD=development-only",
		"WHISPERER_DATABASE_URL=postgres://whisperer:development-only@postgres/whisperer",
	} {
		name, value, _ := strings.Cut(line, "=")
		out := start(line)
		require.Contains(t, out, `"level":"error"`)
		require.Contains(t, out, name+" is a development value that is public")
		require.NotContains(t, out, value)
	}
}
