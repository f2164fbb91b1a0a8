// Package offset encodes positions in splits: a version, then decimal numbers, as in "1/42".
//
// The idea: offsets are persisted by the engine and shown to people, so they are short readable text with a
// version in front; a connector that changes the meaning of its numbers takes a new version.
//
// Pure functions, any goroutine. What the numbers mean is each connector's business. Start at Encode.
package offset

import (
	"bytes"
	"fmt"
	"strconv"
)

// Encode writes version 1 of an offset.
func Encode(numbers ...int64) []byte {
	out := []byte{'1'}
	for _, n := range numbers {
		out = strconv.AppendInt(append(out, '/'), n, 10)
	}
	return out
}

// Decode reads the count numbers of an offset that Encode wrote.
func Decode(b []byte, count int) ([]int64, error) {
	parts := bytes.Split(b, []byte{'/'})
	if len(parts) != count+1 || string(parts[0]) != "1" {
		return nil, fmt.Errorf("read offset %q: not version 1 with %d numbers", b, count)
	}
	out := make([]int64, count)
	for i := range out {
		n, err := strconv.ParseInt(string(parts[i+1]), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("read offset %q: bad number %q", b, parts[i+1])
		}
		out[i] = n
	}
	return out, nil
}

// One reads an offset of one number.
func One(b []byte) (int64, error) {
	n, err := Decode(b, 1)
	if err != nil {
		return 0, err
	}
	return n[0], nil
}
