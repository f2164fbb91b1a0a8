package sqlio

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/keyenc"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// PostgreSQL's limits on arrays.
const (
	MaxArrayDims  = 6
	maxArrayElems = 134217727
)

// ArrayReader reads an encoded array; see the package comment for the layout. It aliases the bytes it was made
// from.
type ArrayReader struct {
	elem  sqltypes.Type
	n     int
	dims  []byte // per dimension: length u32, lower bound i32
	nulls []byte // nil: no NULLs
	width int    // bytes per element, 0: variable
	body  []byte
}

var errArray = errors.New("read array: malformed bytes")

// elemWidth returns the size of an element within an array, 0 if it varies.
func elemWidth(t sqltypes.Type) int {
	switch t.Phys() {
	case sqltypes.PhysBool:
		return 1
	case sqltypes.PhysInt64, sqltypes.PhysFloat64:
		return 8
	case sqltypes.PhysInterval:
		return 16
	}
	return 0
}

// ReadArray opens an encoded value of the array type t.
func ReadArray(t sqltypes.Type, b []byte) (ArrayReader, error) {
	a := ArrayReader{elem: elemType(t)}
	a.width = elemWidth(a.elem)
	if len(b) < 2 || b[0] > MaxArrayDims || len(b) < 2+8*int(b[0]) {
		return ArrayReader{}, errArray
	}
	ndim, hasNulls := int(b[0]), b[1]&1 != 0
	a.dims, b = b[2:2+8*ndim], b[2+8*ndim:]
	a.n = min(ndim, 1)
	for k := range ndim {
		length, _ := a.Dim(k)
		if length <= 0 || length > maxArrayElems || a.n > maxArrayElems/length {
			return ArrayReader{}, errArray
		}
		a.n *= length
	}
	if hasNulls {
		size := (a.n + 7) / 8
		if len(b) < size {
			return ArrayReader{}, errArray
		}
		a.nulls, b = b[:size], b[size:]
	}
	a.body = b
	return a, a.checkBody()
}

func (a *ArrayReader) checkBody() error {
	if a.width > 0 {
		if len(a.body) != a.n*a.width {
			return errArray
		}
		return nil
	}
	if len(a.body) < 4*a.n {
		return errArray
	}
	data, prev := len(a.body)-4*a.n, uint32(0)
	for i := range a.n {
		end := binary.LittleEndian.Uint32(a.body[4*i:])
		if end < prev || int(end) > data {
			return errArray
		}
		prev = end
	}
	return nil
}

// Len returns the number of elements over all dimensions.
func (a ArrayReader) Len() int { return a.n }

// NDim returns the number of dimensions, 0 for an array without elements.
func (a ArrayReader) NDim() int { return len(a.dims) / 8 }

// Dim returns the length and the lower bound of dimension k, counted from 0.
func (a ArrayReader) Dim(k int) (length, lower int) {
	return int(binary.LittleEndian.Uint32(a.dims[8*k:])), int(int32(binary.LittleEndian.Uint32(a.dims[8*k+4:])))
}

// Dims returns the lengths and lower bounds of all dimensions.
func (a ArrayReader) Dims() (lengths, lower []int) {
	for k := range a.NDim() {
		n, l := a.Dim(k)
		lengths, lower = append(lengths, n), append(lower, l)
	}
	return lengths, lower
}

// Elem returns the type of the elements.
func (a ArrayReader) Elem() sqltypes.Type { return a.elem }

// IsNull reports whether element i is NULL.
func (a ArrayReader) IsNull(i int) bool { return a.nulls != nil && a.nulls[i>>3]&(1<<(i&7)) != 0 }

// HasNulls reports whether any element is NULL.
func (a ArrayReader) HasNulls() bool { return a.nulls != nil }

// raw returns the bytes of element i.
func (a ArrayReader) raw(i int) []byte {
	if a.width > 0 {
		return a.body[i*a.width : (i+1)*a.width : (i+1)*a.width]
	}
	data, start := a.body[4*a.n:], uint32(0)
	if i > 0 {
		start = binary.LittleEndian.Uint32(a.body[4*(i-1):])
	}
	end := binary.LittleEndian.Uint32(a.body[4*i:])
	return data[start:end:end]
}

// At returns element i in row-major order; nil is NULL. Byte values alias the array.
func (a ArrayReader) At(i int) sqltypes.Datum {
	if a.IsNull(i) {
		return nil
	}
	b := a.raw(i)
	switch a.elem.Phys() {
	case sqltypes.PhysBool:
		return b[0] != 0
	case sqltypes.PhysInt64:
		return int64(binary.LittleEndian.Uint64(b))
	case sqltypes.PhysFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case sqltypes.PhysInterval:
		return datetime.Interval{
			Months: int32(binary.LittleEndian.Uint32(b)),
			Days:   int32(binary.LittleEndian.Uint32(b[4:])),
			Micros: int64(binary.LittleEndian.Uint64(b[8:])),
		}
	case sqltypes.PhysNumeric:
		d, _, err := numeric.DecodeImage(b)
		if err != nil { // not written by MakeArray
			return numeric.NaN()
		}
		return d
	}
	return b
}

// Elems returns all elements in row-major order.
func (a ArrayReader) Elems() []sqltypes.Datum {
	out := make([]sqltypes.Datum, a.n)
	for i := range out {
		out[i] = a.At(i)
	}
	return out
}

// MakeArray encodes a one-dimensional array with lower bound 1, that of int2vector and oidvector being 0; no elements
// give the empty array.
func MakeArray(t sqltypes.Type, elems []sqltypes.Datum) []byte {
	if len(elems) == 0 {
		return []byte{0, 0}
	}
	lower := 1
	if t.Kind == sqltypes.KInt2Vector || t.Kind == sqltypes.KOidVector {
		lower = 0
	}
	return encodeArray(t, []int{len(elems)}, []int{lower}, elems)
}

// MakeArrayDims encodes an array with the given lengths and lower bounds; a nil lower means all 1. Elements come
// in row-major order, as many as the lengths say. Error: 54000 beyond PostgreSQL's limits.
func MakeArrayDims(t sqltypes.Type, dims, lower []int, elems []sqltypes.Datum) ([]byte, error) {
	if len(dims) > MaxArrayDims {
		return nil, errTooManyDims(len(dims))
	}
	if len(elems) == 0 {
		return []byte{0, 0}, nil
	}
	n := 1
	for k, d := range dims {
		if d < 0 || d > maxArrayElems || n > maxArrayElems/max(d, 1) {
			return nil, errArrayTooLarge()
		}
		if lower != nil && lower[k]+d > math.MaxInt32 {
			return nil, sqlerr.New(sqlerr.ProgramLimitExceeded, "array lower bound is too large: %d", lower[k])
		}
		n *= d
	}
	if n != len(elems) {
		return nil, errArray
	}
	if lower == nil {
		lower = make([]int, len(dims))
		for k := range lower {
			lower[k] = 1
		}
	}
	return encodeArray(t, dims, lower, elems), nil
}

func errArrayTooLarge() error {
	return sqlerr.New(sqlerr.ProgramLimitExceeded, "array size exceeds the maximum allowed (%d)", maxArrayElems)
}

func errTooManyDims(n int) error {
	return sqlerr.New(sqlerr.ProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", n, MaxArrayDims)
}

func encodeArray(t sqltypes.Type, dims, lower []int, elems []sqltypes.Datum) []byte {
	elem := elemType(t)
	dst := make([]byte, 2, 2+8*len(dims)+(elemWidth(elem)+4)*len(elems))
	dst[0] = byte(len(dims))
	for k := range dims {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(dims[k]))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(lower[k])))
	}
	dst = appendNulls(dst, elems)
	if elemWidth(elem) > 0 {
		for _, d := range elems {
			dst = appendFixed(dst, elem, d)
		}
		return dst
	}
	table := len(dst)
	dst = append(dst, make([]byte, 4*len(elems))...)
	start := len(dst)
	for i, d := range elems {
		switch x := d.(type) {
		case nil:
		case numeric.Dec:
			dst = x.AppendImage(dst)
		case string:
			dst = append(dst, x...)
		default:
			dst = append(dst, d.([]byte)...)
		}
		binary.LittleEndian.PutUint32(dst[table+4*i:], uint32(len(dst)-start))
	}
	return dst
}

// AppendStrings appends a one-dimensional array of n elements that are stored as bytes, such as text; elem gives each, not ok for NULL.
// It is MakeArray without boxes.
func AppendStrings(dst []byte, n int, elem func(i int) (b []byte, ok bool)) []byte {
	if n == 0 {
		return append(dst, 0, 0)
	}
	head := len(dst)
	dst = append(dst, 1, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	dst = binary.LittleEndian.AppendUint32(dst, 1)
	nulls := -1
	for i := range n {
		if _, ok := elem(i); ok {
			continue
		}
		if nulls < 0 {
			nulls = len(dst)
			dst[head+1] |= 1
			for range (n + 7) / 8 {
				dst = append(dst, 0)
			}
		}
		dst[nulls+i>>3] |= 1 << (i & 7)
	}
	table := len(dst)
	for range n {
		dst = append(dst, 0, 0, 0, 0)
	}
	start := len(dst)
	for i := range n {
		b, _ := elem(i)
		dst = append(dst, b...)
		binary.LittleEndian.PutUint32(dst[table+4*i:], uint32(len(dst)-start))
	}
	return dst
}

// Bytes returns the element at a row-major index of an array whose elements are stored as bytes; not ok for NULL.
func (a ArrayReader) Bytes(i int) (b []byte, ok bool) {
	if a.IsNull(i) {
		return nil, false
	}
	return a.raw(i), true
}

// appendNulls sets the flag and appends the bitmap when there are NULLs.
func appendNulls(dst []byte, elems []sqltypes.Datum) []byte {
	at := -1
	for i, d := range elems {
		if d != nil {
			continue
		}
		if at < 0 {
			at = len(dst)
			dst[1] |= 1
			dst = append(dst, make([]byte, (len(elems)+7)/8)...)
		}
		dst[at+i>>3] |= 1 << (i & 7)
	}
	return dst
}

// appendFixed appends an element of fixed size; NULL takes the same room.
func appendFixed(dst []byte, elem sqltypes.Type, d sqltypes.Datum) []byte {
	switch x := d.(type) {
	case bool:
		return keyenc.AppendBool(dst, x)
	case int64:
		return binary.LittleEndian.AppendUint64(dst, uint64(x))
	case float64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	case datetime.Interval:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(x.Months))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(x.Days))
		return binary.LittleEndian.AppendUint64(dst, uint64(x.Micros))
	}
	return append(dst, make([]byte, elemWidth(elem))...)
}

// StackArrays builds ARRAY[a, b, …] over arrays of type t: one more dimension. Arrays that are NULL or empty are
// allowed only all together, and give the empty array. Errors: 2202E, 54000.
func StackArrays(t sqltypes.Type, rows []sqltypes.Datum) ([]byte, error) {
	var dims, lower []int
	var elems []sqltypes.Datum
	hollow := false
	for _, r := range rows {
		if r == nil {
			hollow = true
			continue
		}
		a, err := ReadArray(t, toBytes(r))
		if err != nil {
			return nil, err
		}
		if a.n == 0 {
			hollow = true
			continue
		}
		d, l := a.Dims()
		if dims == nil {
			dims, lower = append([]int{0}, d...), append([]int{1}, l...)
		} else if !equalInts(dims[1:], d) {
			return nil, errRagged()
		}
		dims[0]++
		elems = append(elems, a.Elems()...)
	}
	if hollow && dims != nil {
		return nil, errRagged()
	}
	return MakeArrayDims(t, dims, lower, elems)
}

func errRagged() error {
	return sqlerr.New(sqlerr.ArraySubscriptError, "multidimensional arrays must have array expressions with matching dimensions")
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// compareArrays orders by the elements, then their number, the dimensions and the lower bounds.
func compareArrays(t sqltypes.Type, x, y []byte) int {
	a, errA := ReadArray(t, x)
	b, errB := ReadArray(t, y)
	if errA != nil || errB != nil {
		return compareBool(errA != nil, errB != nil)
	}
	for i := range min(a.n, b.n) {
		if c := Compare(a.elem, a.At(i), b.At(i)); c != 0 {
			return c
		}
	}
	if c := cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.NDim(), b.NDim())); c != 0 {
		return c
	}
	for k := range a.NDim() {
		la, wa := a.Dim(k)
		lb, wb := b.Dim(k)
		if c := cmp.Or(cmp.Compare(la, lb), cmp.Compare(wa, wb)); c != 0 {
			return c
		}
	}
	return 0
}

// Markers between the parts of array and record keys: the end sorts before any part, NULL after all values.
const (
	keyEnd   = 0
	keyValue = 1
	keyNull  = 2
)

func appendArrayKey(dst []byte, t sqltypes.Type, b []byte) []byte {
	a, err := ReadArray(t, b)
	if err != nil {
		return keyenc.AppendBytes(append(dst, keyNull+1), b)
	}
	for i := range a.n {
		if a.IsNull(i) {
			dst = append(dst, keyNull)
			continue
		}
		dst = AppendKeyDatum(append(dst, keyValue), a.elem, a.At(i))
	}
	dst = append(dst, keyEnd, byte(a.NDim()))
	for k := range a.NDim() {
		length, lower := a.Dim(k)
		dst = binary.BigEndian.AppendUint32(dst, uint32(length))
		dst = binary.BigEndian.AppendUint32(dst, uint32(int32(lower))^1<<31)
	}
	return dst
}

func appendArrayBinary(dst []byte, t sqltypes.Type, b []byte) []byte {
	a, err := ReadArray(t, b)
	if err != nil {
		a = ArrayReader{elem: elemType(t)}
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(a.NDim()))
	flags := uint32(0)
	if a.HasNulls() {
		flags = 1
	}
	dst = binary.BigEndian.AppendUint32(dst, flags)
	dst = binary.BigEndian.AppendUint32(dst, a.elem.OID())
	for k := range a.NDim() {
		length, lower := a.Dim(k)
		dst = binary.BigEndian.AppendUint32(dst, uint32(length))
		dst = binary.BigEndian.AppendUint32(dst, uint32(int32(lower)))
	}
	for i := range a.n {
		dst = appendField(dst, a.elem, a.At(i))
	}
	return dst
}

// appendField appends a length and the binary form, or −1 for NULL.
func appendField(dst []byte, t sqltypes.Type, d sqltypes.Datum) []byte {
	if d == nil {
		return binary.BigEndian.AppendUint32(dst, math.MaxUint32)
	}
	at := len(dst)
	dst = AppendBinaryDatum(append(dst, 0, 0, 0, 0), t, d)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// takeField reads what appendField wrote.
func takeField(t sqltypes.Type, b []byte) (d sqltypes.Datum, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errShortBinary()
	}
	size := int(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	if size == -1 {
		return nil, b, nil
	}
	if size < 0 || size > len(b) {
		return nil, nil, errShortBinary()
	}
	d, err = ParseBinary(t, b[:size])
	return d, b[size:], err
}

func parseArrayBinary(t sqltypes.Type, b []byte) ([]byte, error) {
	if len(b) < 12 {
		return nil, errShortBinary()
	}
	ndim, flags, oid := int(int32(binary.BigEndian.Uint32(b))), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	b = b[12:]
	elem := elemType(t)
	switch {
	case ndim < 0:
		return nil, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "invalid number of dimensions: %d", ndim)
	case ndim > MaxArrayDims:
		return nil, errTooManyDims(ndim)
	case flags > 1:
		return nil, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "invalid array flags")
	case oid != elem.OID():
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "wrong element type")
	case len(b) < 8*ndim:
		return nil, errShortBinary()
	}
	n, dims, lower := min(ndim, 1), make([]int, ndim), make([]int, ndim)
	for k := range ndim {
		dims[k] = int(int32(binary.BigEndian.Uint32(b[8*k:])))
		lower[k] = int(int32(binary.BigEndian.Uint32(b[8*k+4:])))
		if dims[k] < 0 || dims[k] > maxArrayElems || n > maxArrayElems/max(dims[k], 1) {
			return nil, errArrayTooLarge()
		}
		n *= dims[k]
	}
	b = b[8*ndim:]
	if n > len(b)/4 {
		return nil, errShortBinary()
	}
	elems := make([]sqltypes.Datum, n)
	var err error
	for i := range elems {
		if elems[i], b, err = takeField(elem, b); err != nil {
			return nil, err
		}
	}
	if len(b) != 0 {
		return nil, errLongBinary()
	}
	return MakeArrayDims(t, dims, lower, elems)
}
