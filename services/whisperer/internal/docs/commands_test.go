package docs_test

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

// commandLine is a command in a page.
type commandLine struct {
	words []string
	// named says that the prose only names the command, perhaps without all of its arguments.
	named bool
}

// commandLines returns the commands in a page, from blocks of sh and from the prose.
func (p page) commandLines() []commandLine {
	var lines []commandLine
	for _, b := range p.blocks() {
		if language, _, _ := strings.Cut(b.info, " "); language == "sh" {
			for _, words := range split(b.text) {
				lines = append(lines, commandLine{words: words})
			}
		}
	}
	for _, code := range p.spans() {
		if strings.ContainsRune(code, ' ') {
			for _, words := range split(code) {
				lines = append(lines, commandLine{words: words, named: true})
			}
		}
	}
	return lines
}

// split implements as much of a shell's grammar as the pages need: words, quotes, continued lines, comments and
// operators.
func split(script string) [][]string {
	var lines [][]string
	var line []string
	word, quoted, in := strings.Builder{}, false, byte(0)
	endWord := func() {
		if word.Len() > 0 || quoted {
			line = append(line, word.String())
		}
		word.Reset()
		quoted = false
	}
	endLine := func() {
		endWord()
		if len(line) > 0 {
			lines = append(lines, line)
		}
		line = nil
	}
	for i := 0; i < len(script); i++ {
		switch c := script[i]; {
		case in != 0 && c == in:
			in = 0
		case in != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			in, quoted = c, true
		case c == '\\' && i+1 < len(script):
			i++
			if script[i] != '\n' {
				word.WriteByte(script[i])
			}
		case c == '#' && word.Len() == 0:
			for i+1 < len(script) && script[i+1] != '\n' {
				i++
			}
		case c == ' ' || c == '\t':
			endWord()
		case strings.IndexByte("\n;|&()<>", c) >= 0:
			endLine()
		default:
			word.WriteByte(c)
		}
	}
	endLine()
	return lines
}

func TestSplitIsAShell(t *testing.T) {
	t.Parallel()
	require.Equal(t, [][]string{{"a", "b c", `d"e`, ""}, {"f", "g"}, {"h"}, {"i", "j"}, {"x=1", "k"}},
		split("a 'b c' d'\"'e '' # no\nf \\\n g | h && (i j); x=1 k"))
}

// manifests returns the YAML files whose texts and comments contain commands: issue templates, workflows, alerts,
// values.
func manifests(t *testing.T) []page {
	t.Helper()
	var found []page
	for _, top := range []string{".github", "scripts", "docker-compose.yml"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "node_modules":
				return filepath.SkipDir
			case filepath.Ext(file) != ".yml" && filepath.Ext(file) != ".yaml":
				return nil
			}
			path, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			p := page{path: path}
			// Line by line: code does not span lines, and templates use its quotes for other purposes.
			for line := range strings.Lines(readPage(t, path).text) {
				if strings.Count(line, "`")%2 == 0 {
					p.text += line
				}
			}
			found = append(found, p)
			return nil
		})
		require.NoError(t, err)
	}
	return found
}

// inContainer removes the `docker compose run` that runs a command in the command line's container.
func inContainer(line []string) []string {
	if len(line) > 3 && slices.Equal(line[:3], []string{"docker", "compose", "run"}) {
		if i := slices.Index(line, "whisperer"); i > 0 {
			return line[i:]
		}
	}
	return line
}

// anID replaces variables in a page's commands.
const anID = "01890a5d-ac96-774b-bcce-b302099a8057"

func TestCommandLinesAreThoseOfTheProgram(t *testing.T) {
	t.Setenv("WHISPERER_DATABASE_URL", "postgres://127.0.0.1/none") // readers have set this
	t.Setenv("WHISPERER_MASTER_KEY", "a key")
	variable := regexp.MustCompile(`\$\w+|\$\{\w+\}`)
	byFile := map[string]int{}
	for _, p := range slices.Concat(pages(t), manifests(t)) {
		for _, command := range p.commandLines() {
			line := inContainer(command.words)
			for len(line) > 0 && strings.Contains(line[0], "=") { // leading NAME=value assignments
				line = line[1:]
			}
			if len(line) < 2 || filepath.Base(line[0]) != "whisperer" || !slices.Contains([]string{"whisperer", "bin/whisperer", "dist/whisperer"}, line[0]) {
				continue
			}
			args := slices.DeleteFunc(slices.Clone(line[1:]), func(arg string) bool { return arg == "…" })
			for i := range args {
				args[i] = variable.ReplaceAllString(args[i], anID)
			}
			if len(args) == 0 {
				continue
			}
			byFile[p.path]++
			err := cli.Check(args)
			if err != nil && command.named && (strings.HasPrefix(err.Error(), "expected ") || strings.HasPrefix(err.Error(), "missing flags")) {
				continue
			}
			require.NoError(t, err, "%s says: %s", p.path, strings.Join(line, " "))
		}
	}
	require.Greater(t, len(byFile), 10)
	for _, path := range []string{"docs/operations.md", ".github/ISSUE_TEMPLATE/bug.yml", "scripts/observability/alerts.yml", "scripts/kubernetes/whisperer/values.yaml"} {
		require.Positive(t, byFile[path], path)
	}
}

func TestMakeTargetsAreThere(t *testing.T) {
	t.Parallel()
	makefile := readPage(t, "Makefile").text
	checked := 0
	for _, p := range slices.Concat(pages(t), manifests(t)) {
		for _, line := range p.commandLines() {
			if line.words[0] != "make" {
				continue
			}
			for _, target := range line.words[1:] {
				if regexp.MustCompile(`^[a-z-]+$`).MatchString(target) {
					checked++
					require.Regexp(t, `(?m)^`+target+`:`, makefile, "%s names it", p.path)
				}
			}
		}
	}
	require.Greater(t, checked, 10)
	for _, p := range manifests(t) {
		for _, m := range regexp.MustCompile(`(?m)^ *(?:- run: |)make ([a-z-]+)`).FindAllStringSubmatch(p.text, -1) {
			require.Regexp(t, `(?m)^`+m[1]+`:`, makefile, "%s runs it", p.path)
		}
	}
}

// The workflow runs on the machine what `.ci/run` cannot do in its container.
func TestTheWorkflowRunsWhatNeedsAnEngine(t *testing.T) {
	t.Parallel()
	workflow := readPage(t, ".github/workflows/ci.yml").text
	for job, target := range map[string]string{"containers": "make containers", "versions": "make versions"} {
		_, text, found := strings.Cut(workflow, "\n  "+job+":\n")
		require.True(t, found, job)
		text = regexp.MustCompile(`(?m)^  [a-z]`).Split(text, 2)[0]
		require.Contains(t, text, "runs-on: ubuntu-24.04\n")
		require.NotContains(t, text, "container:")
		before, _, found := strings.Cut(text, "- run: "+target+"\n")
		require.True(t, found, "%s runs %s", job, target)
		require.Contains(t, before, "- run: sudo CI=true scripts/deps.sh\n")
		require.Contains(t, before, "fetch-depth: 0")
	}
}

func TestVariablesAreThoseOfThePrograms(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	apis, workers := variables()
	for _, v := range slices.Concat(apis, workers) {
		known[v.Name] = true
	}
	name := regexp.MustCompile(`WHISPERER_[A-Z_]*[A-Z]`)
	for _, pattern := range []string{"services/whisperer/internal/cli/*.go", "services/internal/testenv/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, found := range name.FindAllString(string(text), -1) {
				known[found] = true
			}
		}
	}
	known["WHISPERER_REQUEST_TIMEOUT"] = true // a variable of the Django application
	for _, p := range pages(t) {
		for _, found := range name.FindAllString(p.text, -1) {
			require.True(t, known[found] || strings.Contains(p.text, found+"_*"), "%s names %s, which no program reads", p.path, found)
		}
	}
}

func TestQueriesFitTheSchema(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("postgres", testenv.Postgres(t))
	require.NoError(t, err)
	defer db.Close()
	checked := 0
	for _, p := range pages(t) {
		queries := p.of("sql")
		for _, code := range p.spans() {
			if strings.HasPrefix(code, "SELECT ") {
				queries = append(queries, code)
			}
		}
		for _, query := range queries {
			checked++
			_, err := db.ExecContext(t.Context(), "EXPLAIN "+query)
			require.NoError(t, err, "%s: %s", p.path, query)
		}
	}
	require.Positive(t, checked)
}

// TestNATSLinesPublishEvents decodes what `nats pub` and `nats req` would send.
func TestNATSLinesPublishEvents(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, p := range pages(t) {
		for _, command := range p.commandLines() {
			line := command.words
			if line[0] != "nats" || len(line) < 3 || line[1] != "pub" && line[1] != "req" {
				continue
			}
			rest, ok := strings.CutPrefix(line[2], "oms.")
			require.True(t, ok, "%s: %v", p.path, line)
			tenant, eventType, _ := strings.Cut(rest, ".")
			published := envelope.Published{Tenant: tenant, Type: eventType, Headers: map[string][]string{}, Seq: 1}
			for i := 3; i < len(line); i++ {
				if line[i] != "-H" {
					published.Body = []byte(line[i])
					continue
				}
				i++
				name, value, _ := strings.Cut(line[i], ":")
				published.Headers[name] = []string{strings.TrimSpace(value)}
			}
			checked++
			event, err := envelope.Decode(published)
			require.NoError(t, err, "%s: %v", p.path, line)
			require.NoError(t, webhook.ValidateEventType(event.Type))
			require.NotEmpty(t, event.Data)
		}
	}
	require.Positive(t, checked)
}
