package docs_test

import (
	"bytes"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mostMethods is the maximum number of exported methods of a type. A type with more has more than one responsibility.
const mostMethods = 30

func TestNoExportedTypeHasTooManyMethods(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./pkg/...", "./services/...")
	list.Dir, list.Stderr = root, &bytes.Buffer{}
	out, err := list.Output()
	require.NoError(t, err, list.Stderr)
	compiled := map[string]string{}
	for line := range strings.Lines(string(out)) {
		of, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		compiled[of] = file
	}
	from := importer.ForCompiler(token.NewFileSet(), "gc", func(of string) (io.ReadCloser, error) { return os.Open(compiled[of]) })
	checked := 0
	for of, file := range compiled {
		if !strings.HasPrefix(of, "github.com/whisperer-oms/whisperer/") || file == "" {
			continue // another repository's, or only in tests
		}
		pkg, err := from.Import(of)
		require.NoError(t, err)
		for _, name := range pkg.Scope().Names() {
			if named, ok := pkg.Scope().Lookup(name).(*types.TypeName); ok && named.Exported() {
				checked++
				require.LessOrEqual(t, exportedMethods(named.Type()), mostMethods, "%s.%s has too many methods: split it", of, name)
			}
		}
	}
	require.Greater(t, checked, 500)
}

// exportedMethods counts the methods of a type and of pointers to it, including promoted ones.
func exportedMethods(t types.Type) int {
	if !types.IsInterface(t) {
		t = types.NewPointer(t)
	}
	count := 0
	for method := range types.NewMethodSet(t).Methods() {
		if method.Obj().Exported() {
			count++
		}
	}
	return count
}
