package expr

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqltypes"
)

// testdata/pg_cast.list is PostgreSQL 15's pg_cast among our types: source, target, context, volatility. (Casts
// between json and jsonb go through text there, and are listed as immutable.)
func TestCastMatrix(t *testing.T) {
	f, err := os.Open("testdata/pg_cast.list")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	typeOf := func(name string) sqltypes.Type {
		if name == "char" {
			return sqltypes.Char
		}
		ty, ok := sqltypes.ByName(name)
		if !ok {
			t.Fatalf("no type %s", name)
		}
		return ty
	}
	context := map[string]CastContext{"i": CastImplicit, "a": CastAssignment, "e": CastExplicit}
	listed := map[[2]sqltypes.Kind]bool{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text())
		from, to := typeOf(w[0]), typeOf(w[1])
		listed[[2]sqltypes.Kind{from.Kind, to.Kind}] = true
		if got, ok := LookupCast(from, to); !ok || got != context[w[2]] {
			t.Errorf("%s: got context %d, %v", sc.Text(), got, ok)
		}
		if got := castVolatility(from, to); got != map[string]Volatility{"i": Immutable, "s": Stable}[w[3]] {
			t.Errorf("%s: got volatility %d", sc.Text(), got)
		}
		if _, ok := castKernel(from, to, true); !ok {
			t.Errorf("%s: no kernel", sc.Text())
		}
	}
	for pair := range castTable() {
		if !listed[pair] {
			t.Errorf("cast from %s to %s is not PostgreSQL's", pair[0].Info().Name, pair[1].Info().Name)
		}
	}
	for pair := range directCasts {
		if !listed[pair] {
			t.Errorf("kernel from %s to %s is not listed as a cast", pair[0].Info().Name, pair[1].Info().Name)
		}
	}
}

func TestLookupCastByText(t *testing.T) {
	i4s, texts := sqltypes.ArrayOf(sqltypes.Int4), sqltypes.ArrayOf(sqltypes.Text)
	for _, tc := range []struct {
		from, to sqltypes.Type
		context  CastContext
		ok       bool
	}{
		{sqltypes.Unknown, sqltypes.Date, CastImplicit, true},
		{sqltypes.Date, sqltypes.Text, CastAssignment, true},
		{sqltypes.Text, sqltypes.Date, CastExplicit, true},
		{sqltypes.Int4, sqltypes.Date, 0, false},
		{sqltypes.Int4, sqltypes.Int4.WithTypmod(3), CastImplicit, true},
		{i4s, sqltypes.ArrayOf(sqltypes.Int8), CastImplicit, true},
		{i4s, texts, CastAssignment, true},
		{texts, i4s, CastExplicit, true},
		{i4s, sqltypes.Text, CastAssignment, true},
		{i4s, sqltypes.Int4, 0, false},
	} {
		if got, ok := LookupCast(tc.from, tc.to); got != tc.context || ok != tc.ok {
			t.Errorf("%s to %s: got %d, %v", tc.from, tc.to, got, ok)
		}
	}
}
