package sqlio

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqltypes"
)

// randomBits returns the text of a bit string, likely one that is like others: few lengths, many zeros.
func randomBits(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(20) {
		b.WriteByte("000001"[r.IntN(6)])
	}
	return b.String()
}

// TestBits: texts, binary forms and keys of bit strings are read as what they were made of, and keys are in order.
func TestBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	of := func(text string) []byte {
		d, err := ParseText(sqltypes.Varbit, text, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d.([]byte)
	}
	for range 20000 {
		x, y := randomBits(r), randomBits(r)
		a, b := of(x), of(y)
		if got := string(appendBitsText(nil, a)); got != x {
			t.Fatalf("%q prints as %q", x, got)
		}
		if back, err := parseBitsBinary(appendBitsBinary(nil, a)); err != nil || !bytes.Equal(back, a) {
			t.Fatalf("%q in binary is read as %x, %v", x, back, err)
		}
		want := strings.Compare(x, y)
		ka, kb := AppendKeyDatum(nil, sqltypes.Bit, a), AppendKeyDatum(nil, sqltypes.Bit, b)
		if got := cmp.Compare(CompareBytes(sqltypes.Bit, a, b), 0); got != want {
			t.Fatalf("%q and %q compare as %d", x, y, got)
		}
		if got := bytes.Compare(ka, kb); got != want {
			t.Fatalf("the keys of %q and %q compare as %d", x, y, got)
		}
		if want != 0 && bytes.HasPrefix(kb, ka) {
			t.Fatalf("the key of %q begins with that of %q", y, x)
		}
		d, rest, err := DecodeKey(sqltypes.Bit, append(ka, "rest"...))
		if err != nil || !bytes.Equal(d.([]byte), a) || string(rest) != "rest" {
			t.Fatalf("the key of %q is read as %x, %q, %v", x, d, rest, err)
		}
		if got := AppendBits(nil, append(bytes.Clone(ReadBits(a).Data), 0xFF), len(x)); !bytes.Equal(got, a) {
			t.Fatalf("%q is made as %x", x, got)
		}
	}
}
