package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

const reference = "../../../../docs/cli.md"

func run(t *testing.T, args ...string) string {
	t.Helper()
	var out, complaints bytes.Buffer
	require.Zero(t, cli.Run(t.Context(), cli.Program{Name: "whisperer", Args: args, Out: &out, Err: &complaints, Version: "test"}), complaints.String())
	return out.String()
}

func TestReferenceIsThatOfTheCommands(t *testing.T) {
	t.Parallel()
	want := run(t, "manual", "markdown")
	if *update {
		require.NoError(t, os.WriteFile(reference, []byte(want), 0o600))
		return
	}
	have, err := os.ReadFile(reference)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "go test ./services/whisperer/internal/cli -run TestReference -update")
}

func TestManPageIsOne(t *testing.T) {
	t.Parallel()
	page := run(t, "manual", "man")
	require.Contains(t, page, ".SS whisperer hook replay [<hook>] [flags]\n")
	require.Contains(t, page, "\n.B \\-\\-dry\\-run\n")
	if _, err := exec.LookPath("man"); err != nil {
		return // cannot be rendered here
	}
	file := t.TempDir() + "/whisperer.1"
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))
	cmd := exec.CommandContext(t.Context(), "man", "--warnings", "-l", file)
	cmd.Env = append(os.Environ(), "MANWIDTH=100", "MANPAGER=cat", "LC_ALL=C.UTF-8")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	rendered, err := cmd.Output()
	require.NoError(t, err, complaints.String())
	require.Empty(t, complaints.String())
	require.Contains(t, string(rendered), "EXIT STATUS")
}

func TestHelpAndReferenceAgreeOnExitCodes(t *testing.T) {
	t.Parallel()
	help := strings.Join(strings.Fields(run(t, "--help")), " ") // wherever lines end
	for _, code := range []string{"0 done", "1 failed", "2 wrong usage", "3 not found", "4 refused", "5 conflict", "6 unavailable", "7 differs"} {
		require.Contains(t, help, code)
	}
	require.Contains(t, run(t, "manual", "markdown"), "| 7 | differs (sync --check, reconcile) |")
}
