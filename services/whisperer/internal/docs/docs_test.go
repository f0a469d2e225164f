// Package docs_test keeps README.md and docs/ correct: it runs the commands that readers should run, follows links,
// parses command lines, and generates reference parts.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// root is the repository's root.
const root = "../../../.."

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// page is one Markdown file.
type page struct {
	path string // relative to the root
	text string
}

// readPage reads a page by its path relative to the root.
func readPage(t *testing.T, path string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return page{path, string(text)}
}

// pages returns all pages that people read.
func pages(t *testing.T) []page {
	t.Helper()
	var found []page
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", ".github/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			path, err := filepath.Rel(root, file)
			require.NoError(t, err)
			found = append(found, readPage(t, path))
		}
	}
	require.Greater(t, len(found), 5)
	return found
}

// block is a fenced block.
type block struct {
	info string // what follows the fence, such as "sh run"
	text string
}

var fenced = regexp.MustCompile("(?ms)^( *)```([^\n]*)\n(.*?)^ *```$")

// blocks returns the fenced blocks without their indentation.
func (p page) blocks() []block {
	var found []block
	for _, m := range fenced.FindAllStringSubmatch(p.text, -1) {
		text := m[3]
		if m[1] != "" {
			text = strings.ReplaceAll("\n"+text, "\n"+m[1], "\n")[1:]
		}
		found = append(found, block{m[2], text})
	}
	return found
}

// of returns the texts of the blocks whose info string is exactly this.
func (p page) of(info string) []string {
	var found []string
	for _, b := range p.blocks() {
		if b.info == info {
			found = append(found, b.text)
		}
	}
	return found
}

// prose returns the page without its blocks.
func (p page) prose() string { return fenced.ReplaceAllString(p.text, "") }

var spans = regexp.MustCompile("`([^`]+)`")

// spans returns the code spans in the prose.
func (p page) spans() []string {
	var found []string
	for _, m := range spans.FindAllStringSubmatch(p.prose(), -1) {
		found = append(found, strings.Join(strings.Fields(m[1]), " "))
	}
	return found
}
