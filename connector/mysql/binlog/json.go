package binlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
)

// The types of values in MySQL's binary JSON.
const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonUint16      = 0x06
	jsonInt32       = 0x07
	jsonUint32      = 0x08
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
	jsonOpaque      = 0x0f
)

// jsonDepth is how deep values may be nested, as MySQL has it.
const jsonDepth = 100

var errJSON = errors.New("the bytes are not MySQL's binary JSON")

// AppendJSON builds the value of a JSON column of MySQL. What JSON has no word for (decimals, dates, bytes) becomes what MySQL prints for it.
func AppendJSON(to *jsonb.Builder, b []byte) error {
	if len(b) == 0 { // what an INSERT IGNORE leaves in a column that is NOT NULL
		to.Null()
		return nil
	}
	p := jsonParser{to: to, budget: len(b)}
	return p.value(b[0], b[1:], 0)
}

// jsonParser bounds its work by the size of the value: nothing in it is stored twice, however offsets may be forged.
type jsonParser struct {
	to     *jsonb.Builder
	budget int // bytes that may still be looked at
}

func (p *jsonParser) spend(n int) error {
	if p.budget -= n; p.budget < 0 {
		return errJSON
	}
	return nil
}

func (p *jsonParser) value(kind byte, b []byte, depth int) error {
	if depth > jsonDepth {
		return fmt.Errorf("nested deeper than %d: %w", jsonDepth, errJSON)
	}
	switch kind {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		return p.container(kind, b, depth)
	case jsonString:
		s, err := jsonBytes(b)
		if err != nil {
			return err
		}
		return p.string(s)
	case jsonOpaque:
		return p.opaque(b)
	}
	return p.scalar(kind, b)
}

// size is how many bytes a scalar takes; 0: it has no fixed size.
func jsonSize(kind byte) int {
	switch kind {
	case jsonLiteral:
		return 1
	case jsonInt16, jsonUint16:
		return 2
	case jsonInt32, jsonUint32:
		return 4
	case jsonInt64, jsonUint64, jsonDouble:
		return 8
	}
	return 0
}

func (p *jsonParser) scalar(kind byte, b []byte) error {
	n := jsonSize(kind)
	if n == 0 || len(b) < n {
		return errJSON
	}
	v := little(b[:n])
	switch kind {
	case jsonLiteral:
		switch v {
		case 0:
			p.to.Null()
		case 1, 2:
			p.to.Bool(v == 1)
		default:
			return errJSON
		}
	case jsonInt16:
		p.to.Int(int64(int16(v)))
	case jsonInt32:
		p.to.Int(int64(int32(v)))
	case jsonInt64:
		p.to.Int(int64(v))
	case jsonUint16, jsonUint32:
		p.to.Int(int64(v))
	case jsonUint64:
		p.to.Numeric(numeric.FromInt(0, v))
	case jsonDouble:
		return p.double(math.Float64frombits(v))
	}
	return nil
}

// double adds a number as MySQL prints it, where 1 of type DOUBLE is 1.0.
func (p *jsonParser) double(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errJSON
	}
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		p.to.Numeric(numeric.FromScaled(int64(f)*10, 1))
		return nil
	}
	p.to.Float(f)
	return nil
}

func (p *jsonParser) string(s []byte) error {
	if err := p.spend(len(s)); err != nil {
		return err
	}
	if !utf8.Valid(s) {
		return fmt.Errorf("a string that is not UTF-8: %w", errJSON)
	}
	p.to.StringBytes(s)
	return nil
}

// container reads an object or array: the number of its entries and its size, where the keys are, what and where the values are. Places
// count from its beginning; values that fit into the place of their offset are there.
func (p *jsonParser) container(kind byte, b []byte, depth int) error {
	width := 2
	if kind == jsonLargeObject || kind == jsonLargeArray {
		width = 4
	}
	object := kind == jsonSmallObject || kind == jsonLargeObject
	if len(b) < 2*width {
		return errJSON
	}
	n, size := little(b[:width]), little(b[width:2*width])
	if size > uint64(len(b)) {
		return errJSON
	}
	b = b[:size]
	keyEntry, valueEntry := 0, 1+width
	if object {
		keyEntry = width + 2
	}
	head := uint64(2*width) + n*uint64(keyEntry+valueEntry)
	if head > size {
		return errJSON
	}
	if err := p.spend(int(head)); err != nil {
		return err
	}
	if object {
		p.to.BeginObject()
	} else {
		p.to.BeginArray()
	}
	for i := range int(n) {
		if object {
			if err := p.key(b, 2*width+i*keyEntry, width); err != nil {
				return err
			}
		}
		at := 2*width + int(n)*keyEntry + i*valueEntry
		if err := p.entry(b, at, width, depth); err != nil {
			return err
		}
	}
	if object {
		p.to.EndObject()
	} else {
		p.to.EndArray()
	}
	return nil
}

func (p *jsonParser) key(b []byte, at, width int) error {
	from := little(b[at : at+width])
	n := little(b[at+width : at+width+2])
	if from+n > uint64(len(b)) {
		return errJSON
	}
	k := b[from : from+n]
	if !utf8.Valid(k) {
		return errJSON
	}
	p.to.KeyBytes(k)
	return p.spend(len(k))
}

func (p *jsonParser) entry(b []byte, at, width, depth int) error {
	kind, place := b[at], b[at+1:at+1+width]
	if n := jsonSize(kind); n > 0 && n <= width {
		return p.scalar(kind, place)
	}
	from := little(place)
	if from > uint64(len(b)) {
		return errJSON
	}
	return p.value(kind, b[from:], depth+1)
}

// jsonBytes reads bytes with their number in front, in groups of seven bits.
func jsonBytes(b []byte) ([]byte, error) {
	n := uint64(0)
	for i := range 5 {
		if i >= len(b) {
			return nil, errJSON
		}
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			if b = b[i+1:]; n > uint64(len(b)) {
				return nil, errJSON
			}
			return b[:n], nil
		}
	}
	return nil, errJSON
}

// opaque reads a value of a type that JSON does not have.
func (p *jsonParser) opaque(b []byte) error {
	if len(b) == 0 {
		return errJSON
	}
	kind := Kind(b[0])
	v, err := jsonBytes(b[1:])
	if err != nil {
		return err
	}
	if err := p.spend(len(v)); err != nil {
		return err
	}
	switch kind {
	case KindDecimal:
		if len(v) < 2 {
			return errJSON
		}
		d, err := Decimal(v[2:], int(v[0]), int(v[1]))
		if err != nil {
			return err
		}
		p.to.Numeric(d)
		return nil
	case KindDate, KindDatetime, KindTimestamp, KindTime:
		if len(v) != 8 {
			return errJSON
		}
		p.to.StringBytes(packedTime(kind, int64(little(v))))
		return nil
	}
	text := append([]byte("base64:type"), strconv.Itoa(int(kind))...)
	p.to.StringBytes(base64.StdEncoding.AppendEncode(append(text, ':'), v))
	return nil
}

// packedTime prints a time in MySQL's packed form: date and time in the upper 40 bits, microseconds below.
func packedTime(kind Kind, v int64) []byte {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	micros, v := v&(1<<24-1), v>>24
	if kind == KindTime {
		return fmt.Appendf(nil, "%s%02d:%02d:%02d.%06d", sign, v>>12&0x3ff, v>>6&63, v&63, micros)
	}
	months := v >> 22
	b := fmt.Appendf(nil, "%04d-%02d-%02d", months/13, months%13, v>>17&31)
	if kind != KindDate {
		b = fmt.Appendf(b, " %02d:%02d:%02d.%06d", v>>12&31, v>>6&63, v&63, micros)
	}
	return b
}
