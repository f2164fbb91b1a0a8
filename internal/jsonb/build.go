package jsonb

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/internal/numeric"
)

// Builder builds one value from calls in document order: scalars, Begin and End, Key before each value of an
// object. The zero Builder is ready; Reset makes it ready again and keeps its memory. One goroutine.
type Builder struct {
	buf     []byte // finished parts of open containers, innermost last
	open    []frame
	ends    []int   // where the elements of open arrays end in buf
	fields  []field // the fields of open objects
	scratch []byte
	order   []int
}

// frame is one open container.
type frame struct {
	start  int // where its parts begin in buf
	first  int // its first entry in ends or fields
	object bool
}

// field says where a key and its value lie in buf; the value begins where the key ends.
type field struct{ start, keyEnd, end int }

// Reset forgets what was built.
func (b *Builder) Reset() {
	b.buf, b.open, b.ends, b.fields = b.buf[:0], b.open[:0], b.ends[:0], b.fields[:0]
}

// Bytes returns a copy of the finished value.
func (b *Builder) Bytes() []byte { return bytes.Clone(b.buf) }

// AppendTo appends the finished value to dst.
func (b *Builder) AppendTo(dst []byte) []byte { return append(dst, b.buf...) }

// done notes the end of a value in the innermost container.
func (b *Builder) done() {
	if len(b.open) == 0 {
		return
	}
	if b.open[len(b.open)-1].object {
		b.fields[len(b.fields)-1].end = len(b.buf)
		return
	}
	b.ends = append(b.ends, len(b.buf))
}

// Null adds null.
func (b *Builder) Null() { b.buf = append(b.buf, tagNull); b.done() }

// Bool adds true or false.
func (b *Builder) Bool(v bool) {
	if v {
		b.buf = append(b.buf, tagTrue)
	} else {
		b.buf = append(b.buf, tagFalse)
	}
	b.done()
}

// Int adds an integer.
func (b *Builder) Int(v int64) { b.number(numeric.FromInt64(v)) }

// Numeric adds a number with its scale; NaN and infinities become strings, as to_jsonb makes them.
func (b *Builder) Numeric(d numeric.Dec) {
	if !d.IsFinite() {
		b.String(d.String())
		return
	}
	b.number(d)
}

func (b *Builder) number(d numeric.Dec) {
	b.buf = d.AppendImage(append(b.buf, tagNumber))
	b.done()
}

// Float adds the shortest number that identifies f; NaN and infinities become strings.
func (b *Builder) Float(f float64) {
	switch {
	case math.IsNaN(f):
		b.String("NaN")
	case math.IsInf(f, 1):
		b.String("Infinity")
	case math.IsInf(f, -1):
		b.String("-Infinity")
	default:
		var text [32]byte
		d, err := numeric.ParseBytes(strconv.AppendFloat(text[:0], f, 'e', -1, 64))
		if err != nil { // a double is well within numeric's range
			d = numeric.NaN()
		}
		b.Numeric(d)
	}
}

// String adds a string, which must be UTF-8.
func (b *Builder) String(s string) { b.buf = append(append(b.buf, tagString), s...); b.done() }

// StringBytes adds a string, which must be UTF-8.
func (b *Builder) StringBytes(s []byte) { b.buf = append(append(b.buf, tagString), s...); b.done() }

// Value adds a finished value.
func (b *Builder) Value(v []byte) { b.buf = append(b.buf, v...); b.done() }

// BeginArray opens an array.
func (b *Builder) BeginArray() {
	b.open = append(b.open, frame{start: len(b.buf), first: len(b.ends)})
}

// BeginObject opens an object.
func (b *Builder) BeginObject() {
	b.open = append(b.open, frame{start: len(b.buf), first: len(b.fields), object: true})
}

// Key names the next value of the innermost object. Of equal keys the last one stays.
func (b *Builder) Key(k string) {
	start := len(b.buf)
	b.buf = append(b.buf, k...)
	b.fields = append(b.fields, field{start: start, keyEnd: len(b.buf)})
}

// KeyBytes is Key for bytes.
func (b *Builder) KeyBytes(k []byte) {
	start := len(b.buf)
	b.buf = append(b.buf, k...)
	b.fields = append(b.fields, field{start: start, keyEnd: len(b.buf)})
}

// widthFor returns the code and size of table entries that can hold n.
func widthFor(n int) (code byte, width int) {
	switch {
	case n < 1<<8:
		return 0, 1
	case n < 1<<16:
		return 1, 2
	}
	return 2, 4
}

func store(dst []byte, width, v int) []byte {
	switch width {
	case 1:
		return append(dst, byte(v))
	case 2:
		return binary.LittleEndian.AppendUint16(dst, uint16(v))
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(v))
}

// EndArray closes the innermost array.
func (b *Builder) EndArray() {
	f := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	ends := b.ends[f.first:]
	size := len(b.buf) - f.start
	code, width := widthFor(max(size, len(ends)))
	head := store(append(b.scratch[:0], tagArray|code<<4), width, len(ends))
	for _, end := range ends {
		head = store(head, width, end-f.start)
	}
	b.scratch = head
	b.buf = append(b.buf, head...) // makes room; the parts move up next
	copy(b.buf[f.start+len(head):], b.buf[f.start:f.start+size])
	copy(b.buf[f.start:], head)
	b.ends = b.ends[:f.first]
	b.done()
}

// EndObject closes the innermost object.
func (b *Builder) EndObject() {
	f := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	fields := b.sortFields(f.first)
	keys, values := 0, 0
	for _, x := range fields {
		keys += x.keyEnd - x.start
		values += x.end - x.keyEnd
	}
	code, width := widthFor(max(keys+values, len(fields)))
	out := store(append(b.scratch[:0], tagObject|code<<4), width, len(fields))
	end := 0
	for _, x := range fields {
		end += x.keyEnd - x.start
		out = store(out, width, end)
	}
	for _, x := range fields {
		end += x.end - x.keyEnd
		out = store(out, width, end)
	}
	for _, x := range fields {
		out = append(out, b.buf[x.start:x.keyEnd]...)
	}
	for _, x := range fields {
		out = append(out, b.buf[x.keyEnd:x.end]...)
	}
	b.scratch = out
	b.buf = append(b.buf[:f.start], out...)
	b.fields = b.fields[:f.first]
	b.done()
}

// sortFields orders the fields from first on by key and drops all but the last of equal keys.
func (b *Builder) sortFields(first int) []field {
	fields := b.fields[first:]
	key := func(x field) []byte { return b.buf[x.start:x.keyEnd] }
	sorted := true
	for i := 1; i < len(fields) && sorted; i++ {
		sorted = compareStored(key(fields[i-1]), key(fields[i])) < 0
	}
	if sorted {
		return fields
	}
	slices.SortStableFunc(fields, func(x, y field) int { return compareStored(key(x), key(y)) })
	out := fields[:0]
	for i, x := range fields {
		if i+1 < len(fields) && bytes.Equal(key(x), key(fields[i+1])) {
			continue
		}
		out = append(out, x)
	}
	return out
}

func compareStored(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// FromString returns the value of a string.
func FromString(s string) []byte { return append([]byte{tagString}, s...) }

// FromNumeric returns the value of a number; NaN and infinities become strings.
func FromNumeric(d numeric.Dec) []byte {
	if !d.IsFinite() {
		return FromString(d.String())
	}
	return d.AppendImage([]byte{tagNumber})
}

// FromBool returns true or false.
func FromBool(v bool) []byte {
	if v {
		return bytes.Clone(trueValue)
	}
	return bytes.Clone(falseValue)
}

// FromNull returns null.
func FromNull() []byte { return bytes.Clone(nullValue) }
