package kubernetes_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dockerStub replaces docker: it logs its arguments to the file calls, and answers from the test's environment.
const dockerStub = `#!/usr/bin/env bash
echo "$*" >>calls
case "$*" in
"compose up "*) echo "of $VERSION" >>calls ;;
*" hook list") echo "hook list: away" >&2; exit "$LIST_CODE" ;;
*" token create "*)
  [ "$CREATE_CODE" = 0 ] || { echo "token create: no database" >&2; exit "$CREATE_CODE"; }
  printf '{\n  "token": "wsp_new"\n}\n' ;;
"compose port "*) echo 127.0.0.1:8080 ;;
*) exit 1 ;;
esac
`

// installation is a checkout with no more than what `make up` reads.
type installation struct {
	t   *testing.T
	dir string
}

func newInstallation(t *testing.T) installation {
	t.Helper()
	i := installation{t, t.TempDir()}
	for _, file := range []string{"scripts/compose/up.sh", "scripts/compose/env.sh", ".env.example"} {
		i.write(file, read(t, "../../../"+file))
	}
	i.write("bin/docker", dockerStub)
	return i
}

func (i installation) write(file, text string) {
	i.t.Helper()
	name := filepath.Join(i.dir, file)
	require.NoError(i.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(i.t, os.WriteFile(name, []byte(text), 0o755)) //nolint:gosec // programs
}

func (i installation) read(file string) string {
	i.t.Helper()
	return read(i.t, filepath.Join(i.dir, file))
}

// up runs `make up` and returns what it printed and what it told docker.
func (i installation) up(env ...string) (out, calls string, err error) {
	i.t.Helper()
	_ = os.Remove(filepath.Join(i.dir, "calls"))
	c := exec.CommandContext(i.t.Context(), "bash", "scripts/compose/up.sh")
	c.Dir = i.dir
	c.Env = append([]string{"PATH=" + filepath.Join(i.dir, "bin") + ":" + os.Getenv("PATH"), "LIST_CODE=0", "CREATE_CODE=0", "VERSION=v7"}, env...)
	text, err := c.CombinedOutput()
	return string(text), i.read("calls"), err
}

func TestMakeUpMakesATokenWhereThereIsNoneOrTheAPIRefusesIt(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	out, calls, err := i.up("WHISPERER_TOKEN=of-another-installation", "ADMIN_TOKEN=of-another-shell")
	require.NoError(t, err, out)
	require.Contains(t, calls, "token create first --role admin")
	require.Contains(t, out, "wsp_new")
	require.Contains(t, i.read(".env"), "\nADMIN_TOKEN=wsp_new\n")

	out, calls, err = i.up()
	require.NoError(t, err, out)
	require.NotContains(t, calls, "token create", "the one of .env is good")

	i.write(".env", strings.Replace(i.read(".env"), "ADMIN_TOKEN=wsp_new", "ADMIN_TOKEN=wsp_old", 1))
	before := i.read(".env")
	out, calls, err = i.up("LIST_CODE=6")
	require.Error(t, err)
	require.Contains(t, out, "hook list: away")
	require.NotContains(t, calls, "token create", "nobody refused it")
	require.Equal(t, before, i.read(".env"))

	out, _, err = i.up("LIST_CODE=4", "CREATE_CODE=1")
	require.Error(t, err)
	require.Contains(t, out, "token create: no database")
	require.Equal(t, before, i.read(".env"))

	out, _, err = i.up("LIST_CODE=4")
	require.NoError(t, err, out)
	require.Contains(t, i.read(".env"), "\nADMIN_TOKEN=wsp_new\n")

	i.write(".env", strings.Replace(i.read(".env"), "ADMIN_TOKEN=wsp_new\n", "", 1)) // of a version before
	out, _, err = i.up()
	require.NoError(t, err, out)
	require.Contains(t, i.read(".env"), "\nADMIN_TOKEN=wsp_new\n")
}

func TestMakeUpBuildsOnlyWhatIsNotOfARelease(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for _, test := range []struct{ env, build string }{
		{"IMAGE_TAG=mine", "--build"},
		{"IMAGE_PULL=never", "--build"},
		{"IMAGE_PULL=missing", "--no-build"},
		{"IMAGE_PULL=always", "--no-build"},
	} {
		out, calls, err := i.up(test.env)
		require.NoError(t, err, out)
		require.Contains(t, calls, "compose up --detach "+test.build+" --wait\nof v7\n", test.env)
	}

	i.write(".env", i.read(".env")+"IMAGE_TAG=v1.0.0\nIMAGE_PULL=missing\n")
	out, calls, err := i.up()
	require.NoError(t, err, out)
	require.Contains(t, calls, "compose up --detach --no-build --wait")
	out, calls, err = i.up("IMAGE_PULL=")
	require.NoError(t, err, out)
	require.Contains(t, calls, "compose up --detach --build --wait", "the shell comes before .env")
}
