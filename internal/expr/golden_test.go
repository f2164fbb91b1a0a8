package expr

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The files testdata/*.txt hold expressions and what PostgreSQL 15 answers. To record them anew:
//
//	go test ./internal/expr -run Golden -rewrite -pg 'host=/path/of/socket user=postgres'
//
// A line is an expression, the next one "=> value" or "!! code message".
var (
	rewrite = flag.Bool("rewrite", false, "record testdata from a PostgreSQL server")
	pgConn  = flag.String("pg", "", "connection string of the server to record from")
)

type goldenCase struct {
	expr, want string
	line       int
	approx     bool
}

// agrees compares outcomes; floats of files named …_approx may differ in the last digit, because the functions of
// C's mathematical library and Go's do.
func (c *goldenCase) agrees(got string) bool {
	if got == c.want {
		return true
	}
	if !c.approx {
		return false
	}
	a, errA := strconv.ParseFloat(strings.TrimPrefix(got, "=> "), 64)
	b, errB := strconv.ParseFloat(strings.TrimPrefix(c.want, "=> "), 64)
	return errA == nil && errB == nil && math.Abs(a-b) <= 1e-15*math.Abs(b)
}

func readGolden(t *testing.T, path string) (cases []goldenCase, raw []string) {
	t.Helper()
	cases, raw, err := parseGolden(path)
	if err != nil {
		t.Fatal(err)
	}
	return cases, raw
}

func parseGolden(path string) (cases []goldenCase, raw []string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	approx := strings.HasSuffix(path, "_approx.txt")
	sc := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; sc.Scan(); n++ {
		s := sc.Text()
		raw = append(raw, s)
		switch {
		case s == "" || strings.HasPrefix(s, "--"):
		case strings.HasPrefix(s, "=> ") || s == "=>" || strings.HasPrefix(s, "!! "):
			cases[len(cases)-1].want = s
		default:
			cases = append(cases, goldenCase{expr: s, line: n, approx: approx})
		}
	}
	return cases, raw, nil
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			if *rewrite {
				record(t, path)
			}
			cases, _ := readGolden(t, path)
			for _, c := range cases {
				checkGolden(t, c)
			}
		})
	}
}

// record asks the server for every answer.
func record(t *testing.T, path string) {
	ctx := context.Background()
	conn, err := pgconn.Connect(ctx, *pgConn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	conn.Exec(ctx, "SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET client_min_messages = 'error'; "+createOwnTypes).ReadAll()
	_, raw := readGolden(t, path)
	if strings.HasPrefix(raw[0], "-- Not PostgreSQL") {
		return
	}
	var out strings.Builder
	for _, s := range raw {
		if strings.HasPrefix(s, "=>") || strings.HasPrefix(s, "!! ") {
			continue
		}
		fmt.Fprintln(&out, s)
		if s == "" || strings.HasPrefix(s, "--") {
			continue
		}
		res, err := conn.Exec(ctx, "SELECT "+s).ReadAll()
		var pe *pgconn.PgError
		switch {
		case err == nil && res[0].Rows[0][0] == nil:
			fmt.Fprintln(&out, "=> NULL")
		case err == nil:
			fmt.Fprintln(&out, strings.TrimRight("=> "+quoteLines(string(res[0].Rows[0][0])), "\n"))
		case asPgError(err, &pe):
			fmt.Fprintf(&out, "!! %s %s\n", pe.Code, pe.Message)
		default:
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func asPgError(err error, target **pgconn.PgError) bool {
	pe, ok := err.(*pgconn.PgError)
	*target = pe
	return ok
}

func quoteLines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", "⏎"), "\x00", "␀")
}

func outcome(t sqltypes.Type, d sqltypes.Datum, err error) string {
	switch {
	case err != nil:
		e := sqlerr.From(err)
		return "!! " + string(e.Code) + " " + e.Message
	case d == nil:
		return "=> NULL"
	}
	return "=> " + quoteLines(sqlio.TextOf(t, d, sqlio.DefaultSettings()))
}

func checkGolden(t *testing.T, c goldenCase) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("line %d: %s panics: %v", c.line, c.expr, p)
		}
	}()
	if isQuery(c.expr) {
		q, err := parseQuery(c.expr)
		if err != nil {
			t.Errorf("line %d: %s: %v", c.line, c.expr, err)
		} else if got := q.outcome(t); !c.agrees(got) {
			t.Errorf("line %d: %s\n got  %s\n want %s", c.line, c.expr, got, c.want)
		}
		return
	}
	e, err := parseExpr(c.expr)
	if err != nil {
		t.Errorf("line %d: %s: %v", c.line, c.expr, err)
		return
	}
	d, err := EvalConst(goldenCtx(), e)
	if got := outcome(e.Type(), d, err); !c.agrees(got) {
		t.Errorf("line %d: %s\n got  %s\n want %s", c.line, c.expr, got, c.want)
		return
	}
	checkColumns(t, c, e)
	checkFolded(t, c, e)
}

func checkFolded(t *testing.T, c goldenCase, e Expr) {
	t.Helper()
	f := Fold(e)
	d, err := EvalConst(goldenCtx(), f)
	if got := outcome(f.Type(), d, err); !c.agrees(got) {
		t.Errorf("line %d: folded %s\n got  %s\n want %s", c.line, c.expr, got, c.want)
	}
}

// checkColumns evaluates e over chunks: with its literals as columns, some rows NULL and some not selected, and
// with repeated constants. Rows that count must give the same outcome, others must raise nothing.
func checkColumns(t *testing.T, c goldenCase, e Expr) {
	t.Helper()
	const rows = 150
	var cols []*delta.Vec
	lifted := Transform(e, func(x Expr) Expr {
		k, ok := x.(*Const)
		if !ok || k.Val == nil {
			return x
		}
		v := &delta.Vec{Type: k.Ty}
		for i := range rows {
			if i%3 == 1 {
				v.AppendNull()
			} else {
				v.AppendDatum(k.Val)
			}
		}
		cols = append(cols, v)
		return &Col{len(cols) - 1, k.Ty, ""}
	})
	var sel []int32
	for i := rows - 1; i >= 0; i -= 2 {
		sel = append(sel, int32(i))
	}
	for _, tc := range []struct {
		name string
		e    Expr
		sel  []int32
	}{{"columns", lifted, nil}, {"selected columns", lifted, sel}, {"few columns", lifted, sel[:3]}, {"constants", e, nil}, {"selected constants", e, sel}} {
		p, err := Compile(tc.e)
		if err != nil {
			t.Errorf("line %d: %v", c.line, err)
			return
		}
		ctx := goldenCtx()
		ch := &delta.Chunk{Cols: cols, Rows: rows, Sel: tc.sel}
		v := p.Eval(ctx, ch)
		if v.Len() != rows {
			t.Errorf("line %d: %s over %s gives %d rows, want %d", c.line, c.expr, tc.name, v.Len(), rows)
			return
		}
		errs := map[int]error{}
		for _, re := range ctx.TakeErrs() {
			errs[int(re.Row)] = re.Err
		}
		for k := range ch.Len() {
			i := ch.Row(k)
			if i%3 == 1 && len(cols) > 0 && tc.name != "constants" && tc.name != "selected constants" {
				delete(errs, i)
				continue
			}
			var d sqltypes.Datum
			if errs[i] == nil {
				d = v.Datum(i)
			}
			if got := outcome(e.Type(), d, errs[i]); !c.agrees(got) {
				t.Errorf("line %d: %s over %s, row %d\n got  %s\n want %s", c.line, c.expr, tc.name, i, got, c.want)
				return
			}
			delete(errs, i)
		}
		for i, err := range errs {
			t.Errorf("line %d: %s over %s: row %d was not asked for but failed: %v", c.line, c.expr, tc.name, i, err)
			return
		}
	}
}
