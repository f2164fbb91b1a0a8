package numeric

import (
	"bytes"
	"encoding/gob"
	"math/big"
	"math/rand"
	"strings"
	"testing"
	"unsafe"
)

func mustParse(t testing.TB, s string) Dec {
	t.Helper()
	d, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return d
}

func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(Dec{}); n > 32 {
		t.Fatalf("Dec has %d bytes", n)
	}
}

// randDec draws values that meet the borders of the inline representation.
func randDec(r *rand.Rand) Dec {
	switch r.Intn(20) {
	case 0:
		return NaN()
	case 1:
		return Inf(r.Intn(2)*2 - 1)
	case 2:
		return Dec{scale: int32(r.Intn(5))}
	}
	b := new(big.Int).Rand(r, new(big.Int).Lsh(big.NewInt(1), uint(1+r.Intn(140))))
	if r.Intn(4) == 0 {
		b.Mul(b, bigPow10(r.Intn(6)))
	}
	if r.Intn(2) == 0 {
		b.Neg(b)
	}
	return fromBig(b, int32(r.Intn(25)))
}

// rat is the reference for finite values.
func rat(d Dec) *big.Rat {
	return new(big.Rat).SetFrac(d.bigCoef(), bigPow10(int(d.scale)))
}

func TestArithmeticAgainstRationals(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 20000 {
		a, b := randDec(r), randDec(r)
		if !a.IsFinite() || !b.IsFinite() {
			continue
		}
		checkOp(t, "add", a, b, new(big.Rat).Add(rat(a), rat(b)), Dec.Add)
		checkOp(t, "sub", a, b, new(big.Rat).Sub(rat(a), rat(b)), Dec.Sub)
		checkOp(t, "mul", a, b, new(big.Rat).Mul(rat(a), rat(b)), Dec.Mul)
		if got, want := a.Cmp(b), rat(a).Cmp(rat(b)); got != want {
			t.Fatalf("cmp(%s, %s) = %d, want %d", a, b, got, want)
		}
		if n := r.Int63() - r.Int63(); true {
			got, _ := MulInt64(a, n)
			if want := new(big.Rat).Mul(rat(a), new(big.Rat).SetInt64(n)); rat(got).Cmp(want) != 0 {
				t.Fatalf("MulInt64(%s, %d) = %s", a, n, got)
			}
		}
	}
}

func checkOp(t *testing.T, name string, a, b Dec, want *big.Rat, op func(a, b Dec) (Dec, error)) {
	t.Helper()
	got, err := op(a, b)
	if err != nil || rat(got).Cmp(want) != 0 {
		t.Fatalf("%s(%s, %s) = %s, %v; want %s", name, a, b, got, err, want.FloatString(30))
	}
	if inline := got.bigCoef().BitLen() <= 127; inline != (got.big == nil) && got.bigCoef().Sign() >= 0 {
		t.Fatalf("%s(%s, %s) is not canonical", name, a, b)
	}
}

func TestKeyOrder(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	for range 50000 {
		a, b := randDec(r), randDec(r)
		if r.Intn(3) == 0 && a.IsFinite() { // close neighbours and equals
			b, _ = a.Add(FromScaled(int64(r.Intn(3)-1), int32(r.Intn(20))))
		}
		ka, kb := a.AppendKey(nil), b.AppendKey(nil)
		if got, want := bytes.Compare(ka, kb), a.Cmp(b); got != want {
			t.Fatalf("keys of %s (%x) and %s (%x) compare %d, values %d", a, ka, b, kb, got, want)
		}
		if a.Equal(b) && a.Hash() != b.Hash() {
			t.Fatalf("equal %s and %s hash apart", a, b)
		}
		back, rest, err := DecodeKey(append(ka, 'x'))
		if err != nil || !back.Equal(a) || string(rest) != "x" {
			t.Fatalf("DecodeKey(%x) = %s %q %v, want %s", ka, back, rest, err, a)
		}
	}
}

func TestRoundTrips(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	huge := mustParse(t, "-"+strings.Repeat("9", 131072)+"."+strings.Repeat("7", 16383))
	for i := range 5000 {
		d := randDec(r)
		if i == 0 {
			d = huge
		}
		want := d.String()
		if got := mustParse(t, want).String(); got != want {
			t.Fatalf("text of %s reads back as %s", want, got)
		}
		got, rest, err := DecodeImage(append(d.AppendImage(nil), 'x'))
		if err != nil || got.String() != want || string(rest) != "x" {
			t.Fatalf("image of %s: %s %q %v", want, got, rest, err)
		}
		got, err = ParseBinary(d.AppendBinary(nil))
		if err != nil || got.String() != want {
			t.Fatalf("binary of %s: %s %v", want, got, err)
		}
		var buf bytes.Buffer
		if err := gob.NewEncoder(&buf).Encode(d); err != nil {
			t.Fatal(err)
		}
		if err := gob.NewDecoder(&buf).Decode(&got); err != nil || got.String() != want {
			t.Fatalf("gob of %s: %s %v", want, got, err)
		}
	}
}

func TestLimits(t *testing.T) {
	huge := mustParse(t, strings.Repeat("9", 131072))
	if _, err := huge.Add(FromInt64(1)); err == nil {
		t.Error("a sum of 131073 digits passed")
	}
	if _, err := huge.Mul(FromInt64(10)); err == nil {
		t.Error("a product of 131073 digits passed")
	}
	if _, err := huge.Sub(FromInt64(1)); err != nil {
		t.Error(err)
	}
	small := mustParse(t, "1e-16383")
	if p, err := small.Mul(FromScaled(1, 1)); err != nil || !p.IsZero() || p.scale != maxScale {
		t.Errorf("1e-16383 × 0.1 = %s, %v", p, err)
	}
	lowest := FromScaled128(-1<<63, 0, 0)
	if got := lowest.Neg().String(); got != "170141183460469231731687303715884105728" {
		t.Errorf("−(−2^127) = %s", got)
	}
}

func TestAccTakesBack(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	for range 300 {
		var acc, other, want Acc
		var kept []Dec
		for range r.Intn(30) {
			d := randDec(r)
			w := int64(1 + r.Intn(3))
			if r.Intn(2) == 0 {
				kept = append(kept, d)
				want.Add(d, w)
				other.Add(d, w)
				continue
			}
			acc.Add(d, w)
			acc.Add(d, -w)
		}
		acc.Merge(&other)
		a, errA := acc.Result()
		b, errB := want.Result()
		if errA != nil || errB != nil || a.String() != b.String() {
			t.Fatalf("sum of %v: %s, want %s", kept, a, b)
		}
		img := acc.AppendImage(nil)
		if !bytes.Equal(img, want.AppendImage(nil)) {
			t.Fatalf("images of equal sums differ for %v", kept)
		}
		var back Acc
		rest, err := back.DecodeImage(append(img, 'x'))
		c, _ := back.Result()
		if err != nil || string(rest) != "x" || c.String() != b.String() || back.IsEmpty() != (len(kept) == 0) {
			t.Fatalf("image of %s: %s %q %v", b, c, rest, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1.50", "-1e10", " NaN ", "1e-400", ".5", "1e 5", "340282366920938463463374607431768211456"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err != nil {
			return
		}
		text := d.String()
		if got := mustParse(t, text).String(); got != text {
			t.Fatalf("%q prints as %s, which prints as %s", s, text, got)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"0", "1.5", "-12345678901234567890123456789012345678901234567890", "1e200"} {
		d, _ := Parse(s)
		f.Add(d.AppendImage(nil))
		f.Add(d.AppendBinary(nil))
		f.Add(d.AppendKey(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, rest, err := DecodeImage(b); err == nil {
			again, _, err := DecodeImage(d.AppendImage(nil))
			if err != nil || again.String() != d.String() || len(rest) > len(b) {
				t.Fatalf("image %x: %s, %s, %v", b, d, again, err)
			}
		}
		if d, _, err := DecodeKey(b); err == nil {
			again, _, err := DecodeKey(d.AppendKey(nil))
			if err != nil || !again.Equal(d) {
				t.Fatalf("key %x: %s, %s, %v", b, d, again, err)
			}
		}
		if d, err := ParseBinary(b); err == nil {
			again, err := ParseBinary(d.AppendBinary(nil))
			if err != nil || again.String() != d.String() {
				t.Fatalf("binary %x: %s, %s, %v", b, d, again, err)
			}
		}
		var a Acc
		_, _ = a.DecodeImage(b)
	})
}

var sink Dec

func BenchmarkMulInt64(b *testing.B) {
	rate := FromScaled(908, 3)
	b.ReportAllocs()
	for i := range b.N {
		sink, _ = FromInt64(int64(i)).Mul(rate)
	}
}

func BenchmarkAdd(b *testing.B) {
	x := FromScaled(908, 3)
	b.ReportAllocs()
	for i := range b.N {
		sink, _ = x.Add(FromScaled(int64(i), 3))
	}
}

func BenchmarkDiv(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		sink, _ = FromScaled(int64(i), 2).Div(FromInt64(37))
	}
}

func BenchmarkAccAdd(b *testing.B) {
	var acc Acc
	b.ReportAllocs()
	for i := range b.N {
		acc.Add(FromScaled(int64(i), 3), 1)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	text := []byte("12345.678")
	for range b.N {
		sink, _ = ParseBytes(text)
	}
}

func BenchmarkAppendText(b *testing.B) {
	b.ReportAllocs()
	var buf [64]byte
	for i := range b.N {
		FromScaled(int64(i)+1000000, 3).AppendText(buf[:0])
	}
}

func BenchmarkAppendKey(b *testing.B) {
	b.ReportAllocs()
	var buf [64]byte
	for i := range b.N {
		FromScaled(int64(i)+1000000, 3).AppendKey(buf[:0])
	}
}
