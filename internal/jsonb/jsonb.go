// Package jsonb holds PostgreSQL's jsonb: a binary form of JSON that is searched without being parsed, its text,
// its order, and the operators that read and edit it.
//
// The idea: a value is a byte slice whose parts are values themselves, so that taking a field or an element
// is a search in a table of offsets and returns a sub-slice. A value is a head byte (low four bits: what it is;
// high four: the width w of table entries, 0, 1, 2 standing for 1, 2, 4 bytes) and then
//
//	null, false, true: nothing
//	number:  a numeric image (exact, with its scale)
//	string:  its bytes, UTF-8
//	array:   n | n end offsets | the elements
//	object:  n | n end offsets of keys | n end offsets of values | the keys | the values
//
// n and the offsets are little-endian in w bytes; offsets count from the end of the tables, and a part begins
// where the one before it ends. Keys are unique and sorted by length, then bytes, as PostgreSQL stores them; of
// duplicates the last one stays. Scalars have no length of their own: they end where their slice ends.
//
// Values are immutable and may be shared; accessors return slices of them. A Builder belongs to one goroutine.
// Bytes from Parse, Builder and the editing functions are well-formed; Check tells for bytes from elsewhere.
// The encoding is persisted: it may change only with the storage format.
//
// SQL/JSON path is internal/jsonpath. Start at Parse and Field.
package jsonb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"sort"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Kind says what a value is, in PostgreSQL's order of comparison.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	String
	Number
	Bool
	Array
	Object
)

// String returns the name that jsonb_typeof prints.
func (k Kind) String() string {
	return [...]string{"null", "string", "number", "boolean", "array", "object"}[k]
}

// Head tags. Their numbers are persisted.
const (
	tagNull byte = iota
	tagFalse
	tagTrue
	tagNumber
	tagString
	tagArray
	tagObject
)

// The scalars without content.
var (
	nullValue  = []byte{tagNull}
	falseValue = []byte{tagFalse}
	trueValue  = []byte{tagTrue}
)

var kinds = [...]Kind{Null, Bool, Bool, Number, String, Array, Object}

// KindOf says what v is.
func KindOf(v []byte) Kind {
	if len(v) == 0 || v[0]&15 > tagObject {
		return Null
	}
	return kinds[v[0]&15]
}

// container is an opened array or object.
type container struct {
	n     int
	width int
	table []byte // n end offsets, for an object 2n
	data  []byte
}

// openContainer reads the tables of an array or object; anything else gives an empty one.
func openContainer(v []byte) container {
	k := KindOf(v)
	if k != Array && k != Object {
		return container{}
	}
	c := container{width: 1 << (v[0] >> 4)}
	v = v[1:]
	c.n = load(v, c.width)
	v = v[c.width:]
	size := c.n * c.width
	if k == Object {
		size *= 2
	}
	c.table, c.data = v[:size], v[size:]
	return c
}

func load(b []byte, width int) int {
	switch width {
	case 1:
		return int(b[0])
	case 2:
		return int(binary.LittleEndian.Uint16(b))
	}
	return int(binary.LittleEndian.Uint32(b))
}

// part returns the i-th part: of an array its elements, of an object its n keys and then its n values.
func (c *container) part(i int) []byte {
	start := 0
	if i > 0 {
		start = load(c.table[(i-1)*c.width:], c.width)
	}
	end := load(c.table[i*c.width:], c.width)
	return c.data[start:end:end]
}

// value returns the i-th value of an object.
func (c *container) value(i int) []byte { return c.part(c.n + i) }

// compareKeys is the order in which keys are stored: by length, then bytes.
func compareKeys(a, b string) int {
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// find returns the position of key in an object.
func (c *container) find(key string) (i int, ok bool) {
	i = sort.Search(c.n, func(i int) bool { return compareKeyBytes(c.part(i), key) >= 0 })
	return i, i < c.n && string(c.part(i)) == key
}

func compareKeyBytes(k []byte, key string) int {
	if len(k) != len(key) {
		return len(k) - len(key)
	}
	return compareKeys(string(k), key) // equal lengths: no copy is kept
}

// Field returns the value of a key of an object; ok is false if v is no object or lacks the key.
func Field(v []byte, key string) (field []byte, ok bool) {
	if KindOf(v) != Object {
		return nil, false
	}
	c := openContainer(v)
	i, ok := c.find(key)
	if !ok {
		return nil, false
	}
	return c.value(i), true
}

// Index returns an element of an array; negative positions count from the end. As in PostgreSQL a scalar is
// its own only element.
func Index(v []byte, i int) (elem []byte, ok bool) {
	switch KindOf(v) {
	case Object:
		return nil, false
	case Array:
		c := openContainer(v)
		if i < 0 {
			i += c.n
		}
		if i < 0 || i >= c.n {
			return nil, false
		}
		return c.part(i), true
	}
	return v, i == 0 || i == -1
}

// Path follows keys and array positions; ok is false where there is nothing.
func Path(v []byte, path []string) (value []byte, ok bool) {
	for _, step := range path {
		switch KindOf(v) {
		case Object:
			v, ok = Field(v, step)
		case Array:
			i, isInt := atoi(step)
			if !isInt {
				return nil, false
			}
			v, ok = Index(v, i)
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return v, true
}

// atoi reads an array position as C's strtol does, whole and within 32 bits.
func atoi(s string) (i int, ok bool) {
	n, err := strconv.ParseInt(strings.TrimLeft(s, " \t\n\v\f\r"), 10, 32)
	return int(n), err == nil
}

// Len returns the number of elements of an array or keys of an object, 0 for scalars.
func Len(v []byte) int {
	c := openContainer(v)
	return c.n
}

// Elements iterates over the positions and elements of an array.
func Elements(v []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		if KindOf(v) != Array {
			return
		}
		c := openContainer(v)
		for i := range c.n {
			if !yield(i, c.part(i)) {
				return
			}
		}
	}
}

// Each iterates over the keys and values of an object, in stored order.
func Each(v []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		if KindOf(v) != Object {
			return
		}
		c := openContainer(v)
		for i := range c.n {
			if !yield(c.part(i), c.value(i)) {
				return
			}
		}
	}
}

// StringValue returns the bytes of a string.
func StringValue(v []byte) (s []byte, ok bool) {
	if KindOf(v) != String {
		return nil, false
	}
	return v[1:], true
}

// NumberValue returns the value of a number.
func NumberValue(v []byte) (d numeric.Dec, ok bool) {
	if KindOf(v) != Number {
		return numeric.Dec{}, false
	}
	d, _, err := numeric.DecodeImage(v[1:])
	return d, err == nil
}

// BoolValue returns the value of a boolean.
func BoolValue(v []byte) (b, ok bool) {
	return len(v) > 0 && v[0] == tagTrue, KindOf(v) == Bool
}

// ToNumeric is the cast to numeric. Error: 22023 for anything but a number.
func ToNumeric(v []byte) (numeric.Dec, error) {
	d, ok := NumberValue(v)
	if !ok {
		return d, ErrCast(v, "numeric")
	}
	return d, nil
}

// ToBool is the cast to boolean. Error: 22023 for anything but a boolean.
func ToBool(v []byte) (bool, error) {
	b, ok := BoolValue(v)
	if !ok {
		return false, ErrCast(v, "boolean")
	}
	return b, nil
}

// ErrCast is the error of casting v to the named type, which does not fit it.
func ErrCast(v []byte, to string) error {
	what := KindOf(v).String()
	if KindOf(v) == Number {
		what = "numeric"
	}
	return sqlerr.New(sqlerr.InvalidParameterValue, "cannot cast jsonb %s to type %s", what, to)
}

var errMalformed = errors.New("read jsonb: malformed bytes")

// Check reports whether bytes of unknown origin are a well-formed value.
func Check(v []byte) error { return check(v, maxDepth) }

func check(v []byte, depth int) error {
	if len(v) == 0 || depth == 0 {
		return errMalformed
	}
	switch tag := v[0] & 15; tag {
	case tagNull, tagFalse, tagTrue:
		if len(v) != 1 {
			return errMalformed
		}
	case tagNumber:
		d, rest, err := numeric.DecodeImage(v[1:])
		if err != nil || len(rest) != 0 || !d.IsFinite() {
			return errMalformed
		}
	case tagString:
	case tagArray, tagObject:
		return checkContainer(v, tag, depth)
	default:
		return errMalformed
	}
	if v[0] > 15 {
		return errMalformed
	}
	return nil
}

func checkContainer(v []byte, tag byte, depth int) error {
	if v[0]>>4 > 2 {
		return errMalformed
	}
	width := 1 << (v[0] >> 4)
	if len(v) < 1+width {
		return errMalformed
	}
	parts := load(v[1:], width)
	if tag == tagObject {
		parts *= 2
	}
	if len(v) < 1+width+parts*width {
		return errMalformed
	}
	c := openContainer(v)
	prev := 0
	for i := range parts {
		end := load(c.table[i*width:], width)
		if end < prev || end > len(c.data) {
			return errMalformed
		}
		prev = end
		if tag == tagObject && i < c.n {
			if i > 0 && compareKeyBytes(c.part(i-1), string(c.part(i))) >= 0 {
				return errMalformed
			}
			continue
		}
		if err := check(c.part(i), depth-1); err != nil {
			return err
		}
	}
	if prev != len(c.data) {
		return errMalformed
	}
	return nil
}

// Equal reports whether a and b are equal as jsonb: numbers by worth, whatever their scale.
func Equal(a, b []byte) bool { return bytes.Equal(a, b) || Compare(a, b) == 0 }

// IsScalar reports whether v is neither an object nor an array.
func IsScalar(v []byte) bool {
	k := KindOf(v)
	return k != Object && k != Array
}
