package docs_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
)

const receiving = "docs/receiving.md"

// judged is the input of a verifying snippet, and the expected verdict.
type judged struct {
	Name    string            `json:"name"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Secret  string            `json:"secret"`
	Want    bool              `json:"want"`
}

// signed returns the headers of a webhook that was signed at that time with each of the secrets.
func signed(t *testing.T, id, body string, at time.Time, secrets ...string) map[string]string {
	t.Helper()
	var keys []signature.Key
	for _, s := range secrets {
		k, err := signature.ParseKey(s)
		require.NoError(t, err)
		keys = append(keys, k)
	}
	return map[string]string{
		"webhook-id": id, "webhook-timestamp": strconv.FormatInt(at.Unix(), 10),
		"webhook-signature": signature.Sign(id, at, []byte(body), keys),
	}
}

func webhooks(t *testing.T) []judged {
	t.Helper()
	const plain, standard, body = "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"data":"żółw"}`
	now := time.Now()
	sign := func(at time.Time, secrets ...string) map[string]string { return signed(t, "d-1", body, at, secrets...) }
	return []judged{
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

// language says how to run a snippet: Program with Args on Files, where the empty name stands for the snippet. In Go,
// Program first builds an executable, which is then run.
type language struct {
	Info, Program string
	// Everywhere says that every developer's machine has the language. Others are only run if they are installed.
	Everywhere bool
	Args       []string
	Files      map[string]string
}

// judges read webhooks from standard input and print a list of booleans.
func judges() []language {
	return []language{
		{"python verify", "python3", true, []string{"judge.py"}, map[string]string{"snippet.py": "", "judge.py": `
import json, sys
from snippet import verify
print(json.dumps([verify(w["headers"], w["body"].encode(), w["secret"]) for w in json.load(sys.stdin)]))
`}},
		{"js verify", "node", true, []string{"judge.mjs"}, map[string]string{"snippet.mjs": "", "judge.mjs": `
import { readFileSync } from "node:fs";
import { verify } from "./snippet.mjs";
const webhooks = JSON.parse(readFileSync(0));
console.log(JSON.stringify(webhooks.map((w) => verify(w.headers, Buffer.from(w.body), w.secret))));
`}},
		{"php verify", "php", false, []string{"judge.php"}, map[string]string{"snippet.php": "", "judge.php": `<?php
require "snippet.php";
$webhooks = json_decode(file_get_contents("php://stdin"), true);
echo json_encode(array_map(fn($w) => verify($w["headers"], $w["body"], $w["secret"]), $webhooks));
`}},
		{"ruby verify", "ruby", false, []string{"-Eutf-8", "judge.rb"}, map[string]string{"snippet.rb": "", "judge.rb": `
require "json"
require_relative "snippet"
puts JSON.parse($stdin.read).map { |w| verify(w["headers"], w["body"], w["secret"]) }.to_json
`}},
		{"go verify", "go", true, []string{"build", "-o", "program", "snippet.go", "judge.go"}, map[string]string{"snippet.go": "", "judge.go": `
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
	}
}

// there reports whether the machine has the language, and fails the test if it must have it.
func (l language) there(t *testing.T) bool {
	t.Helper()
	if _, err := exec.LookPath(l.Program); err == nil {
		return true
	}
	require.False(t, l.Everywhere && os.Getenv("CI") == "true", "%s is missing", l.Program)
	t.Logf("%s is missing: its snippets were not run", l.Program)
	return false
}

// command returns the command that runs the language in a folder with its files and the snippet.
func (l language) command(t *testing.T, snippet string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	for name, text := range l.Files {
		if text == "" {
			text = snippet
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	workspace, err := filepath.Abs(filepath.Join(root, "go.work"))
	require.NoError(t, err)
	in := func(program string, args ...string) *exec.Cmd {
		command := exec.CommandContext(t.Context(), program, args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GOWORK="+workspace) // so that Go snippets find their imports
		return command
	}
	if l.Program != "go" {
		return in(l.Program, l.Args...)
	}
	text, err := in(l.Program, l.Args...).CombinedOutput()
	require.NoError(t, err, string(text))
	return in(filepath.Join(dir, "program"))
}

func TestSnippetsVerifySignatures(t *testing.T) {
	t.Parallel()
	for _, l := range judges() {
		t.Run(l.Info, func(t *testing.T) {
			t.Parallel()
			require.Len(t, readPage(t, receiving).of(l.Info), 1)
			if !l.there(t) {
				return
			}
			for _, p := range pages(t) {
				for _, snippet := range p.of(l.Info) {
					judge := l.command(t, snippet)
					cases := webhooks(t) // created here, so that the webhooks are still valid after compiling
					input, err := json.Marshal(cases)
					require.NoError(t, err)
					var errors bytes.Buffer
					judge.Stdin, judge.Stderr = bytes.NewReader(input), &errors
					printed, err := judge.Output()
					require.NoError(t, err, errors.String())
					var verdicts []bool
					require.NoError(t, json.Unmarshal(printed, &verdicts))
					for i, w := range cases {
						require.Equal(t, w.Want, verdicts[i], "%s: %s", p.path, w.Name)
					}
				}
			}
		})
	}
}
