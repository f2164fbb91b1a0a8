package numeric

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqlerr"
)

// testdata/pg15.tsv was recorded from PostgreSQL 15.20 (initdb --locale=C -E UTF8). Its lines are operation, arguments and what PostgreSQL 15 answered: "=text", NULL, or
// "!SQLSTATE message [DETAIL detail]".
func TestAgainstPostgres(t *testing.T) {
	f, err := os.Open("testdata/pg15.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n")
	bad := map[string]int{}
	sc := bufio.NewScanner(f)
	for line := 1; sc.Scan(); line++ {
		cols := strings.Split(sc.Text(), "\t")
		for i := range cols {
			cols[i] = unescape.Replace(cols[i])
		}
		op, arg, want := cols[0], cols[1], cols[2]
		if got := answer(op, arg); got != want {
			if bad[op]++; bad[op] <= 8 {
				t.Errorf("line %d: %s(%s)\n got %s\nwant %s", line, op, arg, got, want)
			}
		}
	}
	for op, n := range bad {
		t.Logf("%s: %d wrong", op, n)
	}
}

func answer(op, arg string) string {
	text, err := apply(op, arg)
	if err == errNull {
		return "NULL"
	}
	var e *sqlerr.Error
	if errors.As(err, &e) {
		s := "!" + string(e.Code) + " " + e.Message
		if e.Detail != "" {
			s += " DETAIL " + e.Detail
		}
		return s
	}
	if err != nil {
		return "?" + err.Error()
	}
	return "=" + text
}

var errNull = errors.New("null")

var unary = map[string]func(Dec) (Dec, error){
	"neg": func(d Dec) (Dec, error) { return d.Neg(), nil }, "abs": func(d Dec) (Dec, error) { return d.Abs(), nil },
	"ceil": Dec.Ceil, "floor": Dec.Floor, "sqrt": Dec.Sqrt, "exp": Dec.Exp, "ln": Dec.Ln, "log10": Dec.Log10,
	"trimscale": func(d Dec) (Dec, error) { return d.TrimScale(), nil },
	"text":      func(d Dec) (Dec, error) { return d, nil },
	"sign": func(d Dec) (Dec, error) {
		if d.IsNaN() {
			return d, nil
		}
		return FromInt64(int64(d.Sign())), nil
	},
}

var binary2 = map[string]func(a, b Dec) (Dec, error){
	"add": Dec.Add, "sub": Dec.Sub, "mul": Dec.Mul, "div": Dec.Div, "divtrunc": Dec.DivTrunc, "mod": Dec.Mod,
	"gcd": func(a, b Dec) (Dec, error) { return a.Gcd(b), nil }, "lcm": Dec.Lcm,
	"cmp": func(a, b Dec) (Dec, error) { return FromInt64(int64(a.Cmp(b))), nil },
	"pow": Dec.Pow, "log": Log,
}

func apply(op, arg string) (string, error) {
	if op == "parse" {
		d, err := Parse(arg)
		if err != nil {
			return "", err
		}
		s := d.String()
		return fmt.Sprintf("%d:%s", len(s), s[:min(60, len(s))]), nil
	}
	if strings.HasPrefix(op, "fromfloat") {
		f, _ := strconv.ParseFloat(arg, 64)
		if op == "fromfloat4" {
			return FromFloat32(float32(f)).String(), nil
		}
		return FromFloat64(f).String(), nil
	}
	var args []Dec
	for _, a := range strings.Split(arg, "|") {
		d, err := Parse(a)
		if err != nil {
			return "", err
		}
		args = append(args, d)
	}
	if f, ok := unary[op]; ok {
		return show(f(args[0]))
	}
	if f, ok := binary2[op]; ok {
		return show(f(args[0], args[1]))
	}
	return applyOther(op, args)
}

func show(d Dec, err error) (string, error) { return d.String(), err }

func integer(d Dec) int32 {
	v, _ := d.ToInt64()
	return int32(v)
}

func applyOther(op string, args []Dec) (string, error) {
	switch op {
	case "scale", "minscale":
		f := Dec.Scale
		if op == "minscale" {
			f = Dec.MinScale
		}
		s, ok := f(args[0])
		if !ok {
			return "", errNull
		}
		return strconv.Itoa(int(s)), nil
	case "int8":
		v, ok := args[0].ToInt64()
		switch {
		case args[0].IsNaN():
			return "", sqlerr.New(sqlerr.FeatureNotSupported, "cannot convert NaN to bigint")
		case args[0].IsInf():
			return "", sqlerr.New(sqlerr.FeatureNotSupported, "cannot convert infinity to bigint")
		case !ok:
			return "", sqlerr.New(sqlerr.NumericValueOutOfRange, "bigint out of range")
		}
		return strconv.FormatInt(v, 10), nil
	case "float8", "float4":
		return showFloat(op, args[0])
	case "send":
		return hex.EncodeToString(args[0].AppendBinary(nil)), nil
	case "round":
		return show(args[0].Round(integer(args[1])))
	case "trunc":
		return show(args[0].Trunc(integer(args[1])), nil)
	case "typmod":
		return show(args[0].ApplyPrecision(integer(args[1]), integer(args[2])))
	case "factorial":
		return show(Factorial(int64(integer(args[0]))))
	case "widthbucket":
		n, err := WidthBucket(args[0], args[1], args[2], integer(args[3]))
		return strconv.Itoa(int(n)), err
	}
	return applyAggregate(op, args)
}

// showFloat prints as float8out does, with the range errors of the cast.
func showFloat(op string, d Dec) (string, error) {
	bits, name := 64, "double precision"
	f, ok := d.ToFloat64()
	if op == "float4" {
		var g float32
		g, ok = d.ToFloat32()
		f, bits, name = float64(g), 32, "real"
	}
	if !ok {
		return "", sqlerr.New(sqlerr.NumericValueOutOfRange, "\"%s\" is out of range for type %s", d, name)
	}
	if math.IsInf(f, 0) {
		return strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+") + "inity", nil
	}
	format := byte('f')
	if s := strconv.FormatFloat(f, 'e', -1, bits); f != 0 && !math.IsNaN(f) {
		e, _ := strconv.Atoi(s[strings.Index(s, "e")+1:])
		if e < -4 || e >= map[int]int{64: 15, 32: 6}[bits] {
			format = 'e'
		}
	}
	return strconv.FormatFloat(f, format, -1, bits), nil
}

func applyAggregate(op string, args []Dec) (string, error) {
	var sum, squares Acc
	for _, d := range args {
		sum.Add(d, 1)
		sq, err := d.Mul(d)
		if err != nil {
			return "", err
		}
		squares.Add(sq, 1)
	}
	total, err := sum.Result()
	if err != nil {
		return "", err
	}
	sq, err := squares.Result()
	if err != nil {
		return "", err
	}
	n := int64(len(args))
	sample := op == "variance" || op == "stddev"
	switch {
	case op == "sum":
		return total.String(), nil
	case op == "avg":
		return show(Avg(total, n))
	case sample && n < 2:
		return "", errNull
	}
	return show(Variance(n, total, sq, sample, strings.HasPrefix(op, "stddev")))
}
