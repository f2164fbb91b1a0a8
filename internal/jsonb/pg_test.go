package jsonb

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqlerr"
)

var errNull = errors.New("null")

// testdata/pg15.tsv was recorded from PostgreSQL 15.20 (initdb --locale=C -E UTF8). Its lines are operation, arguments and what PostgreSQL 15 answered: "=text", NULL, or
// "!SQLSTATE message [DETAIL detail] [HINT hint]".
func TestAgainstPostgres(t *testing.T) {
	f, err := os.Open("testdata/pg15.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n")
	bad := 0
	sc := bufio.NewScanner(f)
	for line := 1; sc.Scan(); line++ {
		cols := strings.Split(sc.Text(), "\t")
		for i := range cols {
			cols[i] = unescape.Replace(cols[i])
		}
		op, args, want := cols[0], cols[1:len(cols)-1], cols[len(cols)-1]
		if got := answer(op, args); got != want {
			if bad++; bad <= 40 {
				t.Errorf("line %d: %s%q\n got %s\nwant %s", line, op, args, got, want)
			}
		}
	}
	if bad > 0 {
		t.Logf("%d wrong", bad)
	}
}

func answer(op string, args []string) string {
	text, err := apply(op, args)
	if err == errNull {
		return "NULL"
	}
	var e *sqlerr.Error
	if errors.As(err, &e) {
		s := "!" + string(e.Code) + " " + e.Message
		if e.Detail != "" {
			s += " DETAIL " + e.Detail
		}
		if e.Hint != "" {
			s += " HINT " + e.Hint
		}
		return s
	}
	if err != nil {
		return "?" + err.Error()
	}
	return "=" + text
}

func show(v []byte, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if err := Check(v); err != nil {
		return "", err
	}
	return string(AppendText(nil, v)), nil
}

func showFound(v []byte, ok bool) (string, error) {
	if !ok {
		return "", errNull
	}
	return show(v, nil)
}

func showText(v []byte, ok bool) (string, error) {
	if !ok {
		return "", errNull
	}
	text, ok := AppendAsText(nil, v)
	if !ok {
		return "", errNull
	}
	return string(text), nil
}

func showBool(b bool) (string, error) { return strconv.FormatBool(b), nil }

func apply(op string, args []string) (string, error) {
	if op == "json" {
		return args[0], Validate([]byte(args[0]))
	}
	v, err := Parse([]byte(args[0]))
	if err != nil {
		return "", err
	}
	if len(args) == 1 {
		return applyOne(op, v)
	}
	n, _ := strconv.Atoi(args[1])
	switch op {
	case "cmp", "contains", "concat":
		w, err := Parse([]byte(args[1]))
		if err != nil {
			return "", err
		}
		return applyTwo(op, v, w)
	case "field":
		return showFound(Field(v, args[1]))
	case "fieldtext":
		return showText(Field(v, args[1]))
	case "index":
		return showFound(Index(v, n))
	case "exists":
		return showBool(Exists(v, args[1]))
	case "delkey":
		return show(DeleteKeys(v, args[1]))
	case "delindex":
		return show(DeleteIndex(v, n))
	}
	var path []string
	if p := strings.Trim(args[1], "{}"); p != "" {
		path = strings.Split(p, ",")
	}
	return applyPath(op, v, path)
}

func applyOne(op string, v []byte) (string, error) {
	switch op {
	case "parse":
		return show(v, nil)
	case "typeof":
		return KindOf(v).String(), nil
	case "pretty":
		return string(AppendPretty(nil, v)), nil
	case "strip":
		return show(StripNulls(v), nil)
	case "numeric":
		d, err := ToNumeric(v)
		return d.String(), err
	case "bool":
		b, err := ToBool(v)
		if err != nil {
			return "", err
		}
		return showBool(b)
	}
	return "", errors.New("unknown operation")
}

func applyTwo(op string, v, w []byte) (string, error) {
	switch op {
	case "cmp":
		return strconv.Itoa(Compare(v, w)), nil
	case "contains":
		return showBool(Contains(v, w))
	}
	return show(Concat(v, w))
}

func applyPath(op string, v []byte, path []string) (string, error) {
	nv := FromString("new")
	switch op {
	case "path":
		return showFound(Path(v, path))
	case "pathtext":
		return showText(Path(v, path))
	case "delpath":
		return show(DeletePath(v, path))
	case "set", "setonly":
		return show(Set(v, path, nv, op == "set"))
	case "insert", "insertafter":
		return show(Insert(v, path, nv, op == "insertafter"))
	}
	return "", errors.New("unknown operation")
}
