package filter

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/tidwall/gjson"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
)

// maxText bounds a string that a helper produces, in bytes.
const maxText = MaxOutput

// made are the helpers whose cost grows with the size of their input and output.
var made = map[string]bool{"replace": true, "split": true, "join": true, "json.encode": true, "json.decode": true, "xml.escape": true}

// argumentCost returns the cost of reading lists and maps; strings are counted for all functions.
func argumentCost(args []ref.Val) (n uint64) {
	for _, arg := range args {
		if _, isList := arg.(traits.Lister); isList || arg.Type() == types.MapType {
			n += sizeOf(arg, MaxCost)
		}
	}
	return n
}

// helpers are the functions that transforms have in addition to those of filters.
func helpers() []cel.EnvOption {
	s, n, d := cel.StringType, cel.IntType, cel.DynType
	texts := cel.ListType(cel.StringType)
	return []cel.EnvOption{
		member("trim", s, func(a []ref.Val) any { return strings.TrimSpace(str(a[0])) }, s),
		member("lowerAscii", s, func(a []ref.Val) any { return ascii(str(a[0]), 'A', 'Z', 'a'-'A') }, s),
		member("upperAscii", s, func(a []ref.Val) any { return ascii(str(a[0]), 'a', 'z', -('a' - 'A')) }, s),
		member("replace", s, func(a []ref.Val) any { return replace(str(a[0]), str(a[1]), str(a[2])) }, s, s, s),
		member("split", texts, func(a []ref.Val) any { return strings.Split(str(a[0]), str(a[1])) }, s, s),
		member("join", s, func(a []ref.Val) any { return join(a[0], str(a[1])) }, cel.ListType(d), s),
		member("indexOf", n, func(a []ref.Val) any { return indexOf(str(a[0]), str(a[1])) }, s, s),
		member("first", s, func(a []ref.Val) any { return first(str(a[0]), integerOf(a[1])) }, s, n),
		cel.Function("substring",
			cel.MemberOverload("substring_from", []*cel.Type{s, n}, s, cel.FunctionBinding(func(a ...ref.Val) ref.Val {
				return val(substring(str(a[0]), integerOf(a[1]), utf8.RuneCountInString(str(a[0]))))
			})),
			cel.MemberOverload("substring_from_to", []*cel.Type{s, n, n}, s, cel.FunctionBinding(func(a ...ref.Val) ref.Val {
				return val(substring(str(a[0]), integerOf(a[1]), integerOf(a[2])))
			}))),
		cel.Function("base64.encode",
			cel.Overload("base64_encode_text", []*cel.Type{s}, s, cel.UnaryBinding(func(v ref.Val) ref.Val {
				return types.String(base64.StdEncoding.EncodeToString([]byte(str(v))))
			})),
			cel.Overload("base64_encode_bytes", []*cel.Type{cel.BytesType}, s, cel.UnaryBinding(func(v ref.Val) ref.Val {
				b, _ := v.(types.Bytes)
				return types.String(base64.StdEncoding.EncodeToString(b))
			}))),
		function("base64.decode", cel.BytesType, func(a []ref.Val) any { return base64Decode(str(a[0])) }, s),
		function("json.encode", s, func(a []ref.Val) any {
			text, err := toJSON(a[0], maxText)
			if err != nil {
				return err
			}
			return string(text)
		}, d),
		function("json.decode", d, func(a []ref.Val) any { return jsonDecode(str(a[0])) }, s),
		function("xml.escape", s, func(a []ref.Val) any {
			var b strings.Builder
			_ = xml.EscapeText(&b, []byte(str(a[0])))
			return b.String()
		}, s),
		function("time.inZone", s, func(a []ref.Val) any { return inZone(a[0], str(a[1]), "") }, d, s),
		function("time.format", s, func(a []ref.Val) any { return inZone(a[0], str(a[2]), str(a[1])) }, d, s, s),
		cel.Function("decimal",
			cel.Overload("decimal_exact", []*cel.Type{d}, s, cel.FunctionBinding(func(a ...ref.Val) ref.Val { return val(decimalText(a[0])) })),
			cel.Overload("decimal_places", []*cel.Type{d, n}, s, cel.FunctionBinding(func(a ...ref.Val) ref.Val {
				return val(roundedText(a[0], integerOf(a[1])))
			}))),
		function("decimal.add", s, func(a []ref.Val) any { return calculateDecimal('+', a) }, d, d),
		function("decimal.subtract", s, func(a []ref.Val) any { return calculateDecimal('-', a) }, d, d),
		function("decimal.multiply", s, func(a []ref.Val) any { return calculateDecimal('*', a) }, d, d),
		function("number", d, func(a []ref.Val) any { return numberOf(a[0]) }, d),
	}
}

func function(name string, gives *cel.Type, do func([]ref.Val) any, takes ...*cel.Type) cel.EnvOption {
	return cel.Function(name, cel.Overload(strings.ReplaceAll(name, ".", "_")+"_of", takes, gives, binding(do)))
}

func member(name string, gives *cel.Type, do func([]ref.Val) any, takes ...*cel.Type) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload(name+"_of", takes, gives, binding(do)))
}

func binding(do func([]ref.Val) any) cel.OverloadOpt {
	return cel.FunctionBinding(func(args ...ref.Val) ref.Val { return val(do(args)) })
}

// val converts a helper's result, or its error.
func val(v any) ref.Val {
	if err, ok := v.(error); ok {
		return types.WrapErr(err)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

// str returns the string of a value that CEL has checked to be a string.
func str(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

func integerOf(v ref.Val) int {
	n, _ := v.(types.Int)
	return int(n)
}

func ascii(s string, from, to, by rune) string {
	return strings.Map(func(r rune) rune {
		if r >= from && r <= to {
			return r + by
		}
		return r
	}, s)
}

func tooLong() error { return fmt.Errorf("a text is longer than %d bytes", maxText) }

func replace(s, old, by string) any {
	if n := strings.Count(s, old); len(s)+n*(len(by)-len(old)) > maxText {
		return tooLong()
	}
	return strings.ReplaceAll(s, old, by)
}

func join(list ref.Val, separator string) any {
	items, ok := list.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(list)
	}
	var b strings.Builder
	for i := range length(list) {
		item, ok := items.Get(types.Int(i)).ConvertToType(types.StringType).(types.String)
		switch {
		case !ok:
			return fmt.Errorf("join: item %d is no text", i)
		case b.Len()+len(separator)+len(item) > maxText:
			return tooLong()
		case i > 0:
			b.WriteString(separator)
		}
		b.WriteString(string(item))
	}
	return b.String()
}

func indexOf(s, of string) int {
	at := strings.Index(s, of)
	if at < 0 {
		return at
	}
	return utf8.RuneCountInString(s[:at])
}

// first returns at most the first n characters.
func first(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// substring returns the characters whose positions are at least from and less than to.
func substring(s string, from, to int) any {
	runes := utf8.RuneCountInString(s)
	if from < 0 || from > to || to > runes {
		return fmt.Errorf("substring: %d to %d is not within the text's %d characters; first(n) takes what there is", from, to, runes)
	}
	head := len(first(s, from))
	return s[head:len(first(s, to))]
}

func base64Decode(s string) any {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	}
	if err != nil {
		return errors.New("base64.decode: the text is not base64")
	}
	return b
}

func jsonDecode(s string) any {
	if err := envelope.CheckJSON([]byte(s), maxDepth); err != nil {
		return fmt.Errorf("json.decode: %w", err)
	}
	r := reader{digits: true}
	return r.value(gjson.Parse(s))
}

// inZone formats a time in the zone, as RFC 3339 or by a pattern.
func inZone(v ref.Val, zone, pattern string) any {
	t, ok := v.ConvertToType(types.TimestampType).(types.Timestamp)
	if !ok {
		return fmt.Errorf("%q is no time such as 2026-01-31T12:00:00Z", short(fmt.Sprint(v.Value())))
	}
	at, err := location(zone)
	switch {
	case err != nil:
		return fmt.Errorf("there is no time zone %q", short(zone))
	case pattern == "":
		return t.In(at).Format(time.RFC3339Nano)
	}
	return strftime(t.In(at), pattern)
}

// strftime formats a time by C's conversion letters.
func strftime(t time.Time, pattern string) any {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		switch layout := layouts[pattern[i]]; {
		case pattern[i] == '%':
			b.WriteByte('%')
		case pattern[i] == 's':
			fmt.Fprint(&b, t.Unix())
		case layout == "":
			return fmt.Errorf("time.format: there is no %%%c: use Y y m b d H I M S f p z Z j a s", pattern[i])
		default:
			b.WriteString(t.Format(layout))
		}
	}
	return b.String()
}

var layouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'b': "Jan", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'z': "-0700", 'Z': "MST",
	'j': "002", 'a': "Mon", 'F': "2006-01-02", 'T': "15:04:05", 'B': "January", 'A': "Monday",
}

var zones sync.Map //nolint:gochecknoglobals // a cache: reading one takes longer than using it, and there are some 600

func location(name string) (*time.Location, error) {
	if at, there := zones.Load(name); there {
		return at.(*time.Location), nil //nolint:forcetypeassert // nothing else is in there
	}
	at, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, errors.New("there is no such time zone")
	}
	zones.Store(name, at)
	return at, nil
}
