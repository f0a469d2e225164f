package docs_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var limitRow = regexp.MustCompile("(?m)^\\| .* \\| ([0-9,]+) ?(\\w*)[^|]* \\| `([^`]+)` \\|$")

// units are those of docs/limits.md; other words count for one.
var units = map[string]int64{
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	"ms": int64(time.Millisecond), "s": int64(time.Second), "minute": int64(time.Minute), "minutes": int64(time.Minute),
	"hour": int64(time.Hour), "hours": int64(time.Hour), "days": 24 * int64(time.Hour),
}

// TestLimitsAreThoseOfTheCode compares each row of the tables with its constant, or with the default of its setting, and looks for limits
// of hooks and events that have no row.
func TestLimitsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	text := readPage(t, "docs/limits.md").text
	rows := limitRow.FindAllStringSubmatch(text, -1)
	require.Len(t, rows, strings.Count(text, "\n| ")-5, "a row that cannot be read")
	code, settings := readConstants(t), map[string]int64{}
	apis, workers := variables()
	for _, v := range append(apis, workers...) {
		if n, ok := constant.Int64Val(constant.ToInt(constant.MakeFromLiteral(v.Default, token.INT, 0))); ok {
			settings[v.Name] = n
		} else if d, err := time.ParseDuration(v.Default); err == nil {
			settings[v.Name] = int64(d)
		}
	}
	named := map[string]bool{}
	for _, row := range rows {
		want := constant.BinaryOp(constant.MakeFromLiteral(strings.ReplaceAll(row[1], ",", ""), token.INT, 0), token.MUL, constant.MakeInt64(max(1, units[row[2]])))
		got, known := settings[row[3]]
		if !known {
			got, known = code.value(row[3])
		}
		require.True(t, known, "%s is not there", row[3])
		n, exact := constant.Int64Val(want)
		require.True(t, exact)
		require.Equal(t, n, got, row[0])
		named[row[3]] = true
	}
	for name := range code {
		pkg, constantName, _ := strings.Cut(name, ".")
		limits := strings.HasPrefix(constantName, "Max") || strings.HasPrefix(constantName, "Default")
		if _, number := code.value(name); number && limits && (pkg == "webhook" || pkg == "egress") {
			require.True(t, named[name], "docs/limits.md lacks %s", name)
		}
	}
}

// constants are the expressions of all constants, by package and name.
type constants map[string]ast.Expr

func readConstants(t *testing.T) constants {
	t.Helper()
	found := constants{}
	for _, dir := range []string{"pkg", "services/internal", "services/subscription-api", "services/delivery-worker"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				group, ok := decl.(*ast.GenDecl)
				if !ok || group.Tok != token.CONST {
					continue
				}
				for _, spec := range group.Specs {
					values := spec.(*ast.ValueSpec)
					for i, value := range values.Values {
						found[file.Name.Name+"."+values.Names[i].Name] = value
					}
				}
			}
			return nil
		}))
	}
	return found
}

// value is a constant's; false for one that is not there, or no number.
func (c constants) value(name string) (int64, bool) {
	pkg, _, _ := strings.Cut(name, ".")
	v := constant.ToInt(c.eval(pkg, c[name]))
	n, exact := constant.Int64Val(v)
	return n, exact && v.Kind() == constant.Int
}

func (c constants) eval(pkg string, e ast.Expr) constant.Value {
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0)
	case *ast.ParenExpr:
		return c.eval(pkg, e.X)
	case *ast.Ident:
		return c.eval(pkg, c[pkg+"."+e.Name])
	case *ast.SelectorExpr:
		from, ok := e.X.(*ast.Ident)
		if !ok {
			return constant.MakeUnknown()
		}
		if from.Name == "time" {
			d, ok := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}[e.Sel.Name]
			if !ok {
				return constant.MakeUnknown()
			}
			return constant.MakeInt64(int64(d))
		}
		return c.eval(from.Name, c[from.Name+"."+e.Sel.Name])
	case *ast.BinaryExpr:
		x, y := constant.ToInt(c.eval(pkg, e.X)), constant.ToInt(c.eval(pkg, e.Y))
		if x.Kind() != constant.Int || y.Kind() != constant.Int {
			return constant.MakeUnknown()
		}
		switch e.Op {
		case token.SHL:
			n, _ := constant.Uint64Val(y)
			return constant.Shift(x, token.SHL, uint(n))
		case token.QUO:
			return constant.BinaryOp(x, token.QUO_ASSIGN, y) // of whole numbers
		case token.ADD, token.SUB, token.MUL:
			return constant.BinaryOp(x, e.Op, y)
		default:
			return constant.MakeUnknown()
		}
	}
	return constant.MakeUnknown()
}
