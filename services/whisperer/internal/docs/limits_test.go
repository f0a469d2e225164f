package docs_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

var limitRow = regexp.MustCompile("(?m)^\\| (.*) \\| ([0-9,]+) ?(\\w*)[^|]* \\| `([^`]+)` \\|$")

// configLimit matches the first cell of a row about a key of config.
var configLimit = regexp.MustCompile("^`config\\.([a-z_.]+)`.*?(default|minimum|)$")

// units are the units in docs/limits.md; other words count as one.
var units = map[string]int64{
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	"ms": int64(time.Millisecond), "s": int64(time.Second), "minute": int64(time.Minute), "minutes": int64(time.Minute),
	"hour": int64(time.Hour), "hours": int64(time.Hour), "days": 24 * int64(time.Hour),
}

// keyLimits returns the bounds and the default of each number in config, by its name and what its row is about.
func keyLimits(prefix string, described []webhook.Field) map[string]int64 {
	limits := map[string]int64{}
	for _, f := range described {
		maps.Copy(limits, keyLimits(prefix+f.Name+".", f.Members))
		unit := 1.0
		switch f.Kind {
		case webhook.KindSeconds:
			unit = float64(time.Second)
		case webhook.KindNumber:
		default:
			continue
		}
		limits[prefix+f.Name] = int64(f.High * unit)
		if f.Low > 1 {
			limits[prefix+f.Name+" minimum"] = int64(f.Low * unit)
		}
		if n, err := strconv.ParseFloat(f.Default, 64); err == nil {
			limits[prefix+f.Name+" default"] = int64(n * unit)
		}
	}
	return limits
}

// TestLimitsAreThoseOfTheCode compares each row of the tables with its constant, the default of its setting, or the
// description of the key. It also looks for limits of hooks and events without a row.
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
	named, keys := map[string]bool{}, keyLimits("", webhook.Keys())
	for _, row := range rows {
		what, source := row[1], row[4]
		want := constant.BinaryOp(constant.MakeFromLiteral(strings.ReplaceAll(row[2], ",", ""), token.INT, 0), token.MUL, constant.MakeInt64(max(1, units[row[3]])))
		n, exact := constant.Int64Val(want)
		require.True(t, exact)
		described := false
		if m := configLimit.FindStringSubmatch(what); m != nil {
			key := strings.TrimSpace(m[1] + " " + m[2])
			if got, there := keys[key]; there {
				require.Equal(t, n, got, row[0])
				described = true
				delete(keys, key)
			}
		}
		if source == "webhook.Keys" {
			require.True(t, described, "%s: there is no such key", what)
			continue
		}
		got, known := settings[source]
		if !known {
			got, known = code.value(source)
		}
		require.True(t, known, "%s is not there", source)
		require.Equal(t, n, got, row[0])
		named[source] = true
	}
	require.Empty(t, keys, "docs/limits.md lacks keys of config")
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

// value returns the value of a constant, or false if it does not exist or is not a number.
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
			return constant.BinaryOp(x, token.QUO_ASSIGN, y) // integer division
		case token.ADD, token.SUB, token.MUL:
			return constant.BinaryOp(x, e.Op, y)
		default:
			return constant.MakeUnknown()
		}
	}
	return constant.MakeUnknown()
}
