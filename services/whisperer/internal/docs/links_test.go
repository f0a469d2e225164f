package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	links    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#+ (.+)$`)
	// Characters that GitHub omits from a heading's anchor.
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the anchors that GitHub gives the page's headings.
func (p page) anchors() map[string]bool {
	found := map[string]bool{}
	for _, m := range headings.FindAllStringSubmatch(p.prose(), -1) {
		text := links.ReplaceAllString(m[1], "]")
		found[strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(text), ""), " ", "-")] = true
	}
	return found
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	followed := 0
	for _, p := range pages(t) {
		for _, m := range links.FindAllStringSubmatch(p.prose(), -1) {
			target := m[1]
			if strings.HasPrefix(target, "https://") {
				continue // external pages may come and go
			}
			followed++
			require.NotContains(t, target, "://", "%s: a link is relative, or https", p.path)
			file, anchor, _ := strings.Cut(target, "#")
			to := p
			if file != "" {
				path := filepath.Join(filepath.Dir(p.path), file)
				_, err := os.Stat(filepath.Join(root, path))
				require.NoError(t, err, "%s: link to %s", p.path, target)
				if anchor == "" {
					continue
				}
				to = readPage(t, path)
			}
			require.True(t, to.anchors()[anchor], "%s: there is no heading for %s", p.path, target)
		}
	}
	require.Greater(t, followed, 20)
}

func TestEveryPageIsLinked(t *testing.T) {
	t.Parallel()
	// GitHub links to these.
	linked := map[string]bool{
		"README.md": true, ".github/CONTRIBUTING.md": true, ".github/SECURITY.md": true, ".github/pull_request_template.md": true,
	}
	for _, p := range pages(t) {
		for _, m := range links.FindAllStringSubmatch(p.text, -1) {
			file, _, _ := strings.Cut(m[1], "#")
			linked[filepath.Join(filepath.Dir(p.path), file)] = true
		}
	}
	for _, p := range pages(t) {
		require.True(t, linked[p.path], "no page leads to %s", p.path)
	}
	images, err := filepath.Glob(filepath.Join(root, "docs", "images", "*"))
	require.NoError(t, err)
	for _, image := range images {
		path, err := filepath.Rel(root, image)
		require.NoError(t, err)
		require.True(t, linked[path], "no page shows %s", path)
	}
}

// TestEveryPageIsInTheSite requires that each page is in the site's menu, or is a decision, which the list of
// decisions links to.
func TestEveryPageIsInTheSite(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile(filepath.Join(root, "scripts/docs/.vitepress/config.js"))
	require.NoError(t, err)
	for _, p := range pages(t) {
		if name, ok := strings.CutPrefix(p.path, "docs/"); ok && !strings.HasPrefix(name, "decisions/0") {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "README.md"), ".md")
			require.Contains(t, string(config), `"/`+name+`")`, p.path)
		}
	}
}

// places matches paths in this repository that a page may name.
var places = regexp.MustCompile(`^\.?/?(\.ci|\.github|scripts|docs|pkg|proto|services|migrations)(/[\w.-]+)*/?$`)

func TestNamedFilesAreThere(t *testing.T) {
	t.Parallel()
	found := 0
	for _, p := range pages(t) {
		for _, code := range p.spans() {
			if !places.MatchString(code) {
				continue
			}
			found++
			_, err := os.Stat(filepath.Join(root, code))
			require.NoError(t, err, "%s names %s", p.path, code)
		}
	}
	require.Greater(t, found, 5)
}

func TestNamedTestsAreThere(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	functions := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	for _, folder := range []string{"pkg", "services", "scripts"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, folder), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range functions.FindAllStringSubmatch(string(text), -1) {
				declared[m[1]] = true
			}
			return err
		}))
	}
	found := 0
	for _, p := range pages(t) {
		for _, code := range p.spans() {
			if strings.HasPrefix(code, "Test") {
				found++
				require.True(t, declared[code], "%s names %s", p.path, code)
			}
		}
	}
	require.Greater(t, found, 20)
}

func TestConceptsNameEveryStateAndReason(t *testing.T) {
	t.Parallel()
	concepts := readPage(t, "docs/concepts.md").text
	source := readPage(t, "pkg/webhook/delivery.go").text
	words := regexp.MustCompile(`(?:DeliveryState|Reason) += "(\w+)"`).FindAllStringSubmatch(source, -1)
	require.Greater(t, len(words), 15)
	for _, m := range words {
		require.Contains(t, concepts, "`"+m[1]+"`")
	}
}
