package filter

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types/ref"
	"github.com/tidwall/gjson"
)

// maxDigits bounds the digits of decimal numbers: 1e999999999 is short, but long when written out.
const maxDigits = 100

// decimal is unscaled times ten to the power of -scale.
type decimal struct {
	unscaled *big.Int
	scale    int
}

var errDecimal = errors.New("is no decimal number of at most 100 digits")

// parseDecimal parses a number, or a string that holds one, in JSON notation.
func parseDecimal(text string) (decimal, error) {
	digits, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	e := 0
	if strings.Contains(strings.ToLower(text), "e") {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil || e > maxDigits || e < -maxDigits {
			return decimal{}, errDecimal
		}
	}
	whole, fraction, point := strings.Cut(digits, ".")
	all := whole + fraction
	bare := strings.TrimPrefix(all, "-")
	if bare == "" || len(bare) > maxDigits || point && fraction == "" || strings.Trim(bare, "0123456789") != "" || strings.TrimPrefix(whole, "-") == "" {
		return decimal{}, errDecimal
	}
	d := decimal{unscaled: new(big.Int), scale: len(fraction) - e}
	d.unscaled.SetString(all, 10)
	if d.scale < 0 {
		d = d.scaled(0)
	}
	return d, nil
}

func (d decimal) scaled(scale int) decimal {
	ten := big.NewInt(10)
	if scale >= d.scale {
		by := new(big.Int).Exp(ten, big.NewInt(int64(scale-d.scale)), nil)
		return decimal{new(big.Int).Mul(d.unscaled, by), scale}
	}
	by := new(big.Int).Exp(ten, big.NewInt(int64(d.scale-scale)), nil)
	quotient, rest := new(big.Int).QuoRem(d.unscaled, by, new(big.Int))
	if rest.Abs(rest).Lsh(rest, 1).Cmp(by) >= 0 { // half away from zero, as on invoices
		quotient.Add(quotient, big.NewInt(int64(d.unscaled.Sign())))
	}
	return decimal{quotient, scale}
}

// String returns the number without an exponent.
func (d decimal) String() string {
	digits := new(big.Int).Abs(d.unscaled).String()
	if d.scale > 0 {
		if missing := d.scale + 1 - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		digits = digits[:len(digits)-d.scale] + "." + digits[len(digits)-d.scale:]
	}
	if d.unscaled.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}

func decimalOf(v ref.Val) (decimal, error) {
	text, err := toJSON(v, maxDigits*2)
	if err != nil {
		return decimal{}, errDecimal
	}
	d, err := parseDecimal(strings.Trim(string(text), `"`))
	if err != nil {
		return decimal{}, fmt.Errorf("%s %w", short(string(text)), err)
	}
	return d, nil
}

// decimalText returns the number with all its decimal places.
func decimalText(v ref.Val) any {
	d, err := decimalOf(v)
	if err != nil {
		return err
	}
	return d.String()
}

// roundedText returns the number rounded to the given number of places.
func roundedText(v ref.Val, places int) any {
	d, err := decimalOf(v)
	switch {
	case err != nil:
		return err
	case places < 0 || places > maxDigits:
		return fmt.Errorf("decimal: from 0 to %d places", maxDigits)
	}
	return d.scaled(places).String()
}

func calculateDecimal(operator byte, args []ref.Val) any {
	l, err := decimalOf(args[0])
	if err != nil {
		return err
	}
	r, err := decimalOf(args[1])
	if err != nil {
		return err
	}
	if operator == '*' {
		return decimal{new(big.Int).Mul(l.unscaled, r.unscaled), l.scale + r.scale}.String()
	}
	scale := max(l.scale, r.scale)
	l, r = l.scaled(scale), r.scaled(scale)
	if operator == '-' {
		r.unscaled.Neg(r.unscaled)
	}
	return decimal{l.unscaled.Add(l.unscaled, r.unscaled), scale}.String()
}

// numberOf returns a number that keeps the notation of the string or of the event. Notations that JSON does not
// allow, such as 007, are normalized.
func numberOf(v ref.Val) any {
	if text, err := toJSON(v, maxDigits*2); err == nil {
		if digits := strings.Trim(string(text), `"`); isJSONNumber(digits) {
			return kept(digits)
		}
	}
	d, err := decimalOf(v)
	if err != nil {
		return err
	}
	return kept(d.String())
}

// isJSONNumber reports whether a string is a number in JSON notation.
func isJSONNumber(text string) bool {
	return strings.TrimSpace(text) == text && gjson.Valid(text) && gjson.Parse(text).Type == gjson.Number
}
