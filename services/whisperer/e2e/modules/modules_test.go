// Package modules_test gets this repository's modules as others do, from a module proxy.
package modules_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const (
	root   = "../../../.." // of the repository
	prefix = "github.com/whisperer-oms/whisperer/"
)

// outsider is a program that uses the modules.
const outsider = `package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/publisher/outbox"
	"github.com/whisperer-oms/whisperer/pkg/signature"
)

func main() {
	message, err := publisher.Event{ID: "e-1", Type: "order.created", Data: map[string]int{"id": 61}}.Encode("acme")
	check(err)
	key, err := signature.ParseKey("a secret")
	check(err)
	verify, err := signature.ParseVerifyKey("a secret")
	check(err)
	now := time.Now()
	header := http.Header{}
	header.Set(signature.HeaderID, message.ID())
	header.Set(signature.HeaderTimestamp, fmt.Sprint(now.Unix()))
	header.Set(signature.HeaderSignature, signature.Sign(message.ID(), now, message.Body(), []signature.Key{key}))
	check(signature.Verify(header, message.Body(), []signature.VerifyKey{verify}, now, signature.DefaultTolerance))
	_, err = client.New(client.Options{URL: "http://127.0.0.1:8080"})
	check(err)
	fmt.Println(message.Tenant(), message.Type(), outbox.Schema != "")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
`

func TestOthersGetTheModules(t *testing.T) {
	t.Parallel()
	proxy, version := makeProxy(t)
	env := outside(t, proxy)

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(outsider), 0o600))
	command(t, dir, env, "go", "mod", "init", "example.com/outsider")
	command(t, dir, env, "go", "get", prefix+"pkg@"+version)
	command(t, dir, env, "go", "mod", "tidy")
	require.Equal(t, "acme order.created true\n", command(t, dir, env, "go", "run", "."))

	bin := t.TempDir()
	command(t, dir, append(env, "GOBIN="+bin), "go", "install", prefix+"services/whisperer/cmd/whisperer@"+version)
	require.Contains(t, command(t, dir, env, filepath.Join(bin, "whisperer"), "version"), version)
}

// makeProxy writes every module, as it is committed, to a folder that serves as a module proxy. The version is the
// one in which the modules require each other.
func makeProxy(t *testing.T) (folder, version string) {
	t.Helper()
	folder, version = t.TempDir(), ""
	files := map[string][]byte{}
	for _, name := range []string{"migrations", "proto", "pkg", "services"} {
		file, err := os.ReadFile(filepath.Join(root, name, "go.mod"))
		require.NoError(t, err)
		parsed, err := modfile.Parse(name, file, nil)
		require.NoError(t, err)
		require.Empty(t, parsed.Replace, "go install takes no module with replacements")
		for _, r := range parsed.Require {
			if strings.HasPrefix(r.Mod.Path, prefix) {
				if version == "" {
					version = r.Mod.Version
				}
				require.Equal(t, version, r.Mod.Version, "%s requires %s", name, r.Mod.Path)
			}
		}
		files[name] = file
	}
	for name, file := range files {
		at := filepath.Join(folder, prefix+name, "@v")
		require.NoError(t, os.MkdirAll(at, 0o700))
		info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC()})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(at, version+".info"), info, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(at, version+".mod"), file, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(at, "list"), []byte(version+"\n"), 0o600))
		archive, err := os.Create(filepath.Join(at, version+".zip"))
		require.NoError(t, err)
		require.NoError(t, zip.CreateFromVCS(archive, module.Version{Path: prefix + name, Version: version}, root, "HEAD", name))
		require.NoError(t, archive.Close())
	}
	return folder, version
}

// outside returns the environment of a program outside of this repository. It has its own module cache, filled from
// the usual one, because the proxy may reuse a version.
func outside(t *testing.T, proxy string) []string {
	t.Helper()
	usual := strings.TrimSpace(command(t, root, os.Environ(), "go", "env", "GOMODCACHE"))
	upstream := strings.TrimSpace(command(t, root, os.Environ(), "go", "env", "GOPROXY"))
	return append(os.Environ(), "GOWORK=off", "GOFLAGS=-modcacherw -trimpath", "GOMODCACHE="+t.TempDir(), "GONOSUMDB="+prefix+"*",
		"GOPROXY=file://"+proxy+",file://"+usual+"/cache/download,"+upstream)
}

func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, env
	var failed strings.Builder
	c.Stderr = &failed
	printed, err := c.Output()
	require.NoError(t, err, "%s: %s", strings.Join(args, " "), failed.String())
	return string(printed)
}
