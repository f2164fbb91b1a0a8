package wal

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// What is on disk never changes within a format.
func TestGoldenBytes(t *testing.T) {
	if got := hex.EncodeToString(encodeHeader(7, 5)); got != goldenHeader {
		t.Errorf("header is %s", got)
	}
	if got := hex.EncodeToString(appendFrame(nil, 9, 8, []byte("abc"))); got != goldenFrame {
		t.Errorf("record is %s", got)
	}
}

const (
	goldenHeader = "4d494c4c524c4f47010000003f7a980a07000000000000000500000000000000"
	goldenFrame  = "31526c6d46d6da410300000009000000000000000800000000000000616263"
)

func FuzzScan(f *testing.F) {
	good := encodeHeader(1, 0)
	good = appendFrame(good, 1, 1, []byte("one"))
	good = appendFrame(good, 2, 1, nil)
	good = appendFrame(good, 3, 3, []byte("three"))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := scan(data, 1)
		if err != nil || !r.header {
			return
		}
		if r.end > int64(len(data)) || r.end < headerLen {
			t.Fatalf("ends at %d of %d", r.end, len(data))
		}
		// Cut where scan says, the segment is whole, and says the same.
		again, err := scan(data[:r.end], 1)
		if err != nil || again.last != r.last || again.end != r.end {
			t.Fatalf("cut segment gives %+v, %v; before %+v", again, err, r)
		}
		// A record appended there is found.
		next := max(r.last, 0) + 1
		more := appendFrame(bytes.Clone(data[:r.end]), next, next, []byte("x"))
		if again, err := scan(more, 1); err != nil || again.last != next {
			t.Fatalf("appended record gives %+v, %v", again, err)
		}
	})
}
