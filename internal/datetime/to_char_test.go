package datetime

import (
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"
)

// TestToCharRemembers compares remembered texts with fresh ones, from several goroutines, in and out of order.
func TestToCharRemembers(t *testing.T) {
	formats := []string{"YYYY-MM-DD", "HH12 AM", "HH24:MI", "HH24:MI:SS", "SSSS", "MS", "US FF3", "Day DDTH Month IYYY-IW J Q CC",
		"YYYY-MM-DD TZH:TZM", "OF", "\"day\" D", "A.M."}
	zone := time.FixedZone("X", -5*3600-1800)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewSource(int64(worker)))
			ts := int64(0)
			for range 20000 {
				switch r.Intn(4) {
				case 0:
					ts = r.Int63n(8e15) - 4e15
				case 1:
					ts = (ts/MicrosPerDay - 1) * MicrosPerDay
				default:
					ts += r.Int63n(5*MicrosPerSecond) - MicrosPerSecond
				}
				f := formats[r.Intn(len(formats))]
				m := momentOf(ts)
				want, _, _ := m.format(splitTemplate(f))
				if got, ok, err := ToCharTimestamp(ts, f); got != want || !ok || err != nil {
					t.Errorf("%d %s: %q, %v, want %q", ts, f, got, err, want)
					return
				}
				m = momentOf(ts - 19800*MicrosPerSecond)
				m.east, m.zone = -19800, "X"
				want, _, _ = m.format(splitTemplate(f))
				if got, ok, err := ToCharTimestamptz(ts, f, zone); got != want || !ok || err != nil {
					t.Errorf("%d %s in a zone: %q, %v, want %q", ts, f, got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestDigits compares with the library's padding, which counts the sign.
func TestDigits(t *testing.T) {
	for _, v := range []int{0, 1, -1, 9, 10, -10, 99, 100, -100, 12345, -12345, 2147483647} {
		for width := range 7 {
			m := moment{}
			m.digits(v, width)
			if want := fmt.Sprintf("%0*d", width, v); string(m.out) != want {
				t.Errorf("%d in %d: %q, want %q", v, width, m.out, want)
			}
		}
	}
}

func BenchmarkToChar(b *testing.B) {
	for _, f := range []string{"YYYY-MM-DD", "HH24:MI", "YYYY-MM-DD HH24:MI:SS.US"} {
		b.Run(f, func(b *testing.B) {
			b.ReportAllocs()
			ts := int64(0)
			for b.Loop() {
				ts += 1000
				if _, _, err := ToCharTimestamp(ts, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
