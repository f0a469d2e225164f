// Package readme_test runs what README.md tells its readers to run, and writes the part of it that a machine can write.
package readme_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/localpg"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/testenv"
	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/standalone"
)

var update = flag.Bool("update", false, "write the configuration table into README.md")

const path = "../../../../README.md"

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// blocks returns the fenced blocks whose info string is exactly this.
func blocks(t *testing.T, info string) []string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+info+"\n(.*?)^```$").FindAllStringSubmatch(readme(t), -1) {
		found = append(found, m[1])
	}
	require.NotEmpty(t, found, "README.md has no blocks that begin with ```%s", info)
	return found
}

func TestConfigurationTableIsThatOfTheServices(t *testing.T) {
	t.Parallel()
	const begin, end = "-update` -->\n", "<!-- end of configuration -->"
	text := readme(t)
	head, rest, ok := strings.Cut(text, begin)
	require.True(t, ok)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := head + begin + table() + end + tail
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, text, "run the command that README.md names above the table")
}

// table describes the variables of both services, those of subscription-api first.
func table() string {
	type row struct {
		daemon.Variable

		api, worker bool
	}
	var rows []*row
	byName := map[string]*row{}
	for i, list := range [][]daemon.Variable{daemon.Describe[subscriptionapi.Config](), daemon.Describe[deliveryworker.Config]()} {
		for _, v := range list {
			if byName[v.Name] == nil {
				byName[v.Name] = &row{Variable: v}
				rows = append(rows, byName[v.Name])
			}
			r := byName[v.Name]
			if r.api, r.worker = r.api || i == 0, r.worker || i == 1; r.Default != v.Default {
				r.Default += "`, worker `" + v.Default
			}
		}
	}
	b := &strings.Builder{}
	b.WriteString("| variable | of | default | meaning |\n|---|---|---|---|\n")
	for _, r := range rows {
		of := "both"
		switch {
		case !r.worker:
			of = "API"
		case !r.api:
			of = "worker"
		}
		value := "`" + r.Default + "`"
		switch {
		case r.Required:
			value = "**required**"
		case r.Default == "":
			value = ""
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", r.Name, of, value, r.Description)
	}
	return b.String()
}

func TestCommandsRunAsPrinted(t *testing.T) {
	t.Parallel()
	// The folder of a person who has run `make run`.
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755)) // PostgreSQL's user has to get through
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin", "whisperer"), "../../cmd/whisperer")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	startStandalone(t, filepath.Join(dir, ".whisperer"))
	got := make(chan *receiver.Received, 10)
	key, err := signature.ParseVerifyKey("secret")
	require.NoError(t, err)
	server := httptest.NewServer(receiver.New(receiver.Options{
		Keys:   func(string) []signature.VerifyKey { return []signature.VerifyKey{key} },
		Answer: receiver.Behaviour{Status: http.StatusOK}.Answer, Seen: func(r *receiver.Received) { got <- r },
	}))
	defer server.Close()

	script := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.Join(blocks(t, "sh run"), "\n"))
	script.Dir = dir
	script.Env = append(os.Environ(), "RECEIVER="+server.URL+"/")
	for _, name := range []string{"url", "token"} { // export WHISPERER_URL=$(cat .whisperer/url) …
		value, err := os.ReadFile(filepath.Join(dir, ".whisperer", name))
		require.NoError(t, err)
		script.Env = append(script.Env, "WHISPERER_"+strings.ToUpper(name)+"="+strings.TrimSpace(string(value)))
	}
	printed, err := script.CombinedOutput()
	require.NoError(t, err, string(printed))
	require.Contains(t, string(printed), `"event_types":["package.created"],"target_url":"http://example.com/"`)

	wanted := map[string]bool{"order.updated": true, "order.created": true, "order.cancelled": true}
	for len(wanted) > 0 {
		select {
		case r := <-got:
			require.Equal(t, receiver.Verified, r.Verdict)
			delete(wanted, r.EventType)
		case <-time.After(30 * time.Second):
			require.Empty(t, wanted, "published and not received")
		}
	}
}

// startStandalone runs the system without its demo until the test ends.
func startStandalone(t *testing.T, data string) {
	t.Helper()
	o := standalone.Options{Data: data, AnyPort: true, Speed: 1, Out: &bytes.Buffer{}}
	if _, err := localpg.Find(t.Context()); err != nil {
		o.DatabaseURL = testenv.EmptyPostgres(t)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- standalone.Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(data, "url"))
		return err == nil
	}, 60*time.Second, 10*time.Millisecond)
}

// webhook is what a verifying snippet is given, and what it has to say.
type webhook struct {
	Name    string            `json:"name"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Secret  string            `json:"secret"`
	Want    bool              `json:"want"`
}

func webhooks(t *testing.T) []webhook {
	t.Helper()
	const plain, standard, body = "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"data":"żółw"}`
	sign := func(at time.Time, secrets ...string) map[string]string {
		var keys []signature.Key
		for _, s := range secrets {
			k, err := signature.ParseKey(s)
			require.NoError(t, err)
			keys = append(keys, k)
		}
		return map[string]string{
			"webhook-id": "d-1", "webhook-timestamp": strconv.FormatInt(at.Unix(), 10),
			"webhook-signature": signature.Sign("d-1", at, []byte(body), keys),
		}
	}
	now := time.Now()
	return []webhook{
		{"signed with a plain secret", sign(now, plain), body, plain, true},
		{"signed with a standard secret", sign(now, standard), body, standard, true},
		{"signed with the new and the old secret", sign(now, standard, plain), body, plain, true},
		{"changed on the way", sign(now, plain), body + " ", plain, false},
		{"signed with another secret", sign(now, "another"), body, plain, false},
		{"an old one again", sign(now.Add(-6*time.Minute), plain), body, plain, false},
		{"one from the future", sign(now.Add(6*time.Minute), plain), body, plain, false},
		{"without headers", map[string]string{}, body, plain, false},
		{"with nonsense for a time", map[string]string{
			"webhook-id": "d-1", "webhook-timestamp": "soon", "webhook-signature": "v1,ü v1",
		}, body, plain, false},
	}
}

func TestSnippetsVerifySignatures(t *testing.T) {
	t.Parallel()
	// Each judges the webhooks on standard input and prints a list of booleans.
	for _, c := range []struct {
		language, program string
		args              []string
		files             map[string]string
	}{
		{"python verify", "python3", []string{"judge.py"}, map[string]string{"snippet.py": "", "judge.py": `
import json, sys
from snippet import verify
print(json.dumps([verify(w["headers"], w["body"].encode(), w["secret"]) for w in json.load(sys.stdin)]))
`}},
		{"js verify", "node", []string{"judge.mjs"}, map[string]string{"snippet.mjs": "", "judge.mjs": `
import { readFileSync } from "node:fs";
import { verify } from "./snippet.mjs";
const webhooks = JSON.parse(readFileSync(0));
console.log(JSON.stringify(webhooks.map((w) => verify(w.headers, Buffer.from(w.body), w.secret))));
`}},
		{"go verify", "go", []string{"run", "snippet.go", "judge.go"}, map[string]string{"snippet.go": "", "judge.go": `
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
)

func main() {
	var webhooks []struct {
		Headers      map[string]string
		Body, Secret string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&webhooks); err != nil {
		panic(err)
	}
	verdicts := []bool{}
	for _, w := range webhooks {
		r, _ := http.NewRequest("POST", "/", strings.NewReader(w.Body))
		for name, value := range w.Headers {
			r.Header.Set(name, value)
		}
		_, err := verify(r, w.Secret)
		verdicts = append(verdicts, err == nil)
	}
	json.NewEncoder(os.Stdout).Encode(verdicts)
}
`}},
	} {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(c.program); err != nil {
				require.NotEqual(t, "true", os.Getenv("CI"), "%s is missing", c.program)
				t.Logf("%s is missing: its snippet was not run", c.program)
				return
			}
			dir := t.TempDir()
			for name, text := range c.files {
				if text == "" {
					text = blocks(t, c.language)[0]
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			}
			cases := webhooks(t)
			input, err := json.Marshal(cases)
			require.NoError(t, err)
			judge := exec.CommandContext(t.Context(), c.program, c.args...)
			var errors bytes.Buffer
			judge.Dir, judge.Stdin, judge.Stderr = dir, bytes.NewReader(input), &errors
			workspace, err := filepath.Abs(filepath.Join(filepath.Dir(path), "go.work"))
			require.NoError(t, err)
			judge.Env = append(os.Environ(), "GOWORK="+workspace) // where the Go snippet finds its import
			printed, err := judge.Output()
			require.NoError(t, err, errors.String())
			var verdicts []bool
			require.NoError(t, json.Unmarshal(printed, &verdicts))
			for i, w := range cases {
				require.Equal(t, w.Want, verdicts[i], w.Name)
			}
		})
	}
}
