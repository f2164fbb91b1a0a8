package sqlio

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

var pair = sqltypes.StructOf([]sqltypes.RowField{
	{Name: "a", Type: sqltypes.Int4}, {Name: "b", Type: sqltypes.Text},
	{Name: "c", Type: sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(5, 2))},
})

var box = sqltypes.StructOf([]sqltypes.RowField{
	{Name: "p", Type: pair}, {Name: "q", Type: sqltypes.ArrayOf(sqltypes.Int4)},
})

func typeNamed(t *testing.T, name string) sqltypes.Type {
	switch name {
	case "pair":
		return pair
	case "box2":
		return box
	}
	if base, ok := strings.CutSuffix(name, "[]"); ok {
		return sqltypes.ArrayOf(typeNamed(t, base))
	}
	mod := 0
	if i := strings.IndexByte(name, '('); i >= 0 {
		mod, _ = strconv.Atoi(strings.Trim(name[i:], "()"))
		name = name[:i]
		ty := typeNamed(t, name)
		return ty.WithTypmod(int32(mod) + 4)
	}
	ty, ok := sqltypes.ByName(name)
	if !ok {
		t.Fatalf("no type %s", name)
	}
	return ty
}

// testdata/pg15.tsv was recorded from PostgreSQL 15.20 (initdb --locale=C -E UTF8). Its lines are operation, type, argument and what PostgreSQL 15 answered: "=text", NULL, or
// "!SQLSTATE message [DETAIL detail]".
func TestAgainstPostgres(t *testing.T) {
	f, err := os.Open("testdata/pg15.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n")
	sc := bufio.NewScanner(f)
	bad := 0
	for line := 1; sc.Scan(); line++ {
		cols := strings.Split(sc.Text(), "\t")
		for i := range cols {
			cols[i] = unescape.Replace(cols[i])
		}
		ty := typeNamed(t, cols[1])
		text, err := apply(cols[0], ty, cols[2])
		if got := answer(text, err); got != cols[3] {
			if bad++; bad < 40 {
				t.Errorf("line %d: %s %s %q\n got %s\nwant %s", line, cols[0], cols[1], cols[2], got, cols[3])
			}
		}
		if cols[0] == "in" && err == nil {
			checkColumn(t, ty, cols[2], text)
		}
	}
}

func answer(text string, err error) string {
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

func apply(op string, ty sqltypes.Type, arg string) (string, error) {
	s := DefaultSettings()
	switch op {
	case "in0":
		s = &Settings{ByteaEscape: true}
	case "cast":
		d, err := ApplyTypmod(ty, []byte(arg), true)
		return TextOf(ty, d, s), err
	case "cmp":
		return compareTexts(ty, arg, s)
	}
	d, err := ParseText(ty, arg, s)
	if err != nil {
		return "", err
	}
	if op == "send" {
		return hex.EncodeToString(AppendBinaryDatum(nil, ty, d)), nil
	}
	return TextOf(ty, d, s), nil
}

// compareTexts also checks that keys agree with Compare.
func compareTexts(ty sqltypes.Type, arg string, s *Settings) (string, error) {
	x, y, _ := strings.Cut(arg, "|")
	a, err := ParseText(ty, x, s)
	if err != nil {
		return "", err
	}
	b, err := ParseText(ty, y, s)
	if err != nil {
		return "", err
	}
	c := Compare(ty, a, b)
	if k := bytes.Compare(AppendKeyDatum(nil, ty, a), AppendKeyDatum(nil, ty, b)); k != c {
		return "keys compare " + strconv.Itoa(k), nil
	}
	return strconv.Itoa(c), nil
}

// checkColumn takes a text through the column forms: parsed, printed, in binary, as image and as key.
func checkColumn(t *testing.T, ty sqltypes.Type, arg, want string) {
	t.Helper()
	s := DefaultSettings()
	v := &delta.Vec{Type: ty}
	if err := AppendParsed(v, []byte(arg), s); err != nil {
		t.Errorf("AppendParsed %s %q: %v", ty, arg, err)
		return
	}
	if got := string(AppendText(nil, v, 0, s)); got != want {
		t.Errorf("AppendText %s %q: %s, want %s", ty, arg, got, want)
	}
	d := v.Datum(0)
	wire := AppendBinary(nil, v, 0)
	if !bytes.Equal(wire, AppendBinaryDatum(nil, ty, d)) {
		t.Errorf("binary %s %q differs between column and datum", ty, arg)
	}
	if ty != box { // the parts of a nested record lose their row type
		back, err := ParseBinary(ty, wire)
		if err != nil || TextOf(ty, back, s) != want {
			t.Errorf("binary %s %q: %s, %v", ty, arg, TextOf(ty, back, s), err)
		}
	}
	img := AppendImageAt(nil, v, 0)
	back, rest, err := DecodeImage(ty, append(img, 'x'))
	if err != nil || string(rest) != "x" || TextOf(ty, back, s) != want {
		t.Errorf("image %s %q: %s, rest %q, %v", ty, arg, TextOf(ty, back, s), rest, err)
	}
	w := &delta.Vec{Type: ty}
	if _, err := AppendDecoded(w, img); err != nil || string(AppendText(nil, w, 0, s)) != want {
		t.Errorf("image %s %q into a column: %v", ty, arg, err)
	}
	key := AppendKey(nil, v, 0)
	if !bytes.Equal(key, AppendKeyDatum(nil, ty, d)) {
		t.Errorf("key %s %q differs between column and datum", ty, arg)
	}
	if back, rest, err := DecodeKey(ty, append(key, 'x')); err == nil {
		if Compare(ty, back, d) != 0 || string(rest) != "x" || KeyIsExact(ty) && TextOf(ty, back, s) != want {
			t.Errorf("key %s %q: %s, rest %q", ty, arg, TextOf(ty, back, s), rest)
		}
	} else if err != errKeyless {
		t.Errorf("key %s %q: %v", ty, arg, err)
	}
}
