package parser

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	pgquery "github.com/wasilibs/go-pgquery"
	pgparser "github.com/wasilibs/go-pgquery/parser"
)

// lines reads the statements of a corpus.
func lines(t testing.TB, file string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range strings.Split(string(data), "\n") {
		if line != "" && !strings.HasPrefix(line, "--") {
			out = append(out, line)
		}
	}
	return out
}

func TestOracleAccepts(t *testing.T) {
	corpus := lines(t, "postgres.sql")
	if len(corpus) < 300 {
		t.Fatalf("corpus has %d statements", len(corpus))
	}
	for _, sql := range corpus {
		if _, err := pgquery.ParseToJSON(sql); err != nil {
			t.Errorf("PostgreSQL refuses %q: %v", sql, err)
		}
		if _, err := Parse(sql); err != nil {
			t.Errorf("we refuse %q: %v", sql, err)
		}
	}
}

func TestOracleRefuses(t *testing.T) {
	for _, sql := range lines(t, "refused.sql") {
		_, pgErr := pgquery.ParseToJSON(sql)
		if pgErr == nil {
			t.Errorf("PostgreSQL accepts %q", sql)
			continue
		}
		_, err := Parse(sql)
		if err == nil {
			t.Errorf("we accept %q, PostgreSQL says %v", sql, pgErr)
			continue
		}
		var pos int
		if e := new(pgparser.Error); errors.As(pgErr, &e) {
			pos = e.Cursorpos
		}
		if got := message(err); got != pgErr.Error() || position(err) != pos {
			t.Errorf("%q:\n  we say         %s at %d\n  PostgreSQL says %s at %d", sql, got, position(err), pgErr.Error(), pos)
		}
	}
}

// TestOracleMutations breaks the statements of the corpus at random and demands that PostgreSQL and we
// agree on nearly all of the results. The rest is where we accept more by design (the streaming dialect),
// and operator words as labels without AS (SELECT a IS), which we do not take.
func TestOracleMutations(t *testing.T) {
	const seed, rounds, tolerated = 20261120, 5000, 15
	rng := rand.New(rand.NewPCG(seed, 7))
	statements, words := tokenTexts(lines(t, "postgres.sql"))
	var different []string
	for range rounds {
		sql := mutate(rng, statements[rng.IntN(len(statements))], words)
		_, pgErr := pgquery.ParseToJSON(sql)
		_, err := Parse(sql)
		if (pgErr == nil) != (err == nil) {
			different = append(different, sql)
		}
		checkRoundTrip(t, sql)
	}
	if len(different) > tolerated {
		t.Errorf("seed %d: %d of %d statements are accepted by one side only:\n%s", seed, len(different), rounds, strings.Join(different, "\n"))
	}
}

// tokenTexts cuts each statement into the texts of its tokens; words are all of them. Parameters are
// left out: the oracle reads $1 where no expression may stand.
func tokenTexts(corpus []string) (statements [][]string, words []string) {
	for _, sql := range corpus {
		tokens, _ := lex(sql)
		var texts []string
		for _, tok := range tokens {
			if tok.kind != tokEOF && tok.kind != tokError && tok.kind != tokParam {
				texts = append(texts, sql[tok.pos:tok.end])
			}
		}
		statements = append(statements, texts)
		words = append(words, texts...)
	}
	return statements, words
}

// mutate drops, replaces, inserts or swaps one or two tokens.
func mutate(rng *rand.Rand, texts, words []string) string {
	texts = slices.Clone(texts)
	for range 1 + rng.IntN(2) {
		if len(texts) == 0 {
			break
		}
		i, j := rng.IntN(len(texts)), rng.IntN(len(texts))
		word := words[rng.IntN(len(words))]
		switch rng.IntN(4) {
		case 0:
			texts = slices.Delete(texts, i, i+1)
		case 1:
			texts[i] = word
		case 2:
			texts = slices.Insert(texts, i, word)
		case 3:
			texts[i], texts[j] = texts[j], texts[i]
		}
	}
	return strings.Join(texts, " ")
}
