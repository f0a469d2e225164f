package docs_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const architecture = "docs/architecture.md"

// imports returns the packages of this repository that each package below the folders imports.
func imports(t *testing.T, folders ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && d.Name() == "testdata" {
				return skipTestdata(err)
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			in, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			found[in] = append(found[in], "")
			for _, i := range file.Imports {
				to, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					return err
				}
				if of, ok := strings.CutPrefix(to, "github.com/whisperer-oms/whisperer/"); ok {
					found[in] = append(found[in], of)
				}
			}
			return nil
		}))
	}
	require.Greater(t, len(found), 20)
	return found
}

// skipTestdata returns the error of a walk, or else skips the folder.
func skipTestdata(err error) error {
	if err == nil {
		return filepath.SkipDir
	}
	return err
}

var packageRows = regexp.MustCompile("(?m)^\\| `([\\w/.-]+)` \\|")

// listed returns the packages in the page's table, from the top.
func listed(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, m := range packageRows.FindAllStringSubmatch(readPage(t, architecture).text, -1) {
		list = append(list, m[1])
	}
	return list
}

func TestTheArchitectureListsEveryPackageAndOnlyThose(t *testing.T) {
	t.Parallel()
	list := listed(t)
	for in := range imports(t, "services", "pkg") {
		covered := slices.ContainsFunc(list, func(p string) bool {
			return in == p || (strings.HasPrefix(in, p+"/cmd/") || p == "services/whisperer") && strings.HasPrefix(in, p+"/")
		})
		require.True(t, covered, "%s does not list %s", architecture, in)
	}
	for _, p := range list {
		_, err := os.Stat(filepath.Join(root, p))
		require.NoError(t, err, "%s lists a package that is not there", architecture)
	}
}

func TestDependenciesGoDownTheArchitecture(t *testing.T) {
	t.Parallel()
	list := listed(t)
	for in, imported := range imports(t, "services", "pkg") {
		from := slices.Index(list, in)
		for _, of := range imported {
			to := slices.Index(list, of)
			if from < 0 || to < 0 {
				continue // packages without a row of their own
			}
			require.Less(t, from, to, "%s: %s imports %s, which stands above it", architecture, in, of)
		}
	}
}

var (
	changeRows = regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^`]+)` \\| ([^|]+) \\|$")
	filesInRow = regexp.MustCompile("`([^`]+)`")
)

func TestFilesToOpenForAChangeHoldWhatToLookFor(t *testing.T) {
	t.Parallel()
	rows := changeRows.FindAllStringSubmatch(readPage(t, ".github/CONTRIBUTING.md").text, -1)
	require.Greater(t, len(rows), 5)
	for _, row := range rows {
		name := regexp.MustCompile(`(^|\W)(WHISPERER_|whisperer_)?` + regexp.QuoteMeta(row[1]) + `($|\W)`)
		files := filesInRow.FindAllStringSubmatch(row[2], -1)
		require.NotEmpty(t, files, row[0])
		for _, file := range files {
			require.Regexp(t, name, readPage(t, file[1]).text, "%s: there is no %s", file[1], row[1])
		}
	}
}
