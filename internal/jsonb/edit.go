package jsonb

import (
	"slices"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Contains is a @> b: every field and element of b is found in a, at the same depth. An array also contains a
// scalar that is one of its elements.
func Contains(a, b []byte) bool {
	ka, kb := KindOf(a), KindOf(b)
	switch {
	case ka == Array && kb < Array:
		return hasElement(a, b)
	case ka != kb:
		return false
	}
	return contains(a, b)
}

// contains is Contains below the top level, for values of one kind.
func contains(a, b []byte) bool {
	switch KindOf(a) {
	case Object:
		for k, vb := range Each(b) {
			va, ok := Field(a, string(k))
			if !ok || KindOf(va) != KindOf(vb) || !contains(va, vb) {
				return false
			}
		}
		return true
	case Array:
		for _, e := range Elements(b) {
			if !hasElement(a, e) {
				return false
			}
		}
		return true
	}
	return compare(a, b) == 0
}

// hasElement reports whether an element of array a contains e.
func hasElement(a, e []byte) bool {
	k := KindOf(e)
	for _, x := range Elements(a) {
		if KindOf(x) == k && contains(x, e) {
			return true
		}
	}
	return false
}

// Exists is v ? key: a key of an object, a string element of an array, or the string itself.
func Exists(v []byte, key string) bool {
	switch KindOf(v) {
	case Object:
		_, ok := Field(v, key)
		return ok
	case Array:
		for _, e := range Elements(v) {
			if s, ok := StringValue(e); ok && string(s) == key {
				return true
			}
		}
		return false
	case String:
		return string(v[1:]) == key
	}
	return false
}

// ExistsAny is v ?| keys.
func ExistsAny(v []byte, keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return Exists(v, k) })
}

// ExistsAll is v ?& keys.
func ExistsAll(v []byte, keys []string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return !Exists(v, k) })
}

// Concat is a || b: objects are merged, the right one winning; anything else is joined as arrays, what is no
// array counting as an array of one element. The error is always nil today.
func Concat(a, b []byte) ([]byte, error) {
	var out Builder
	if KindOf(a) == Object && KindOf(b) == Object {
		out.BeginObject()
		out.addFields(a)
		out.addFields(b)
		out.EndObject()
		return out.buf, nil
	}
	out.BeginArray()
	for _, v := range [][]byte{a, b} {
		if KindOf(v) != Array {
			out.Value(v)
			continue
		}
		for _, e := range Elements(v) {
			out.Value(e)
		}
	}
	out.EndArray()
	return out.buf, nil
}

func (b *Builder) addFields(v []byte) {
	for k, x := range Each(v) {
		b.KeyBytes(k)
		b.Value(x)
	}
}

func errScalar(what string) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, "cannot %s scalar", what)
}

// DeleteKeys is v - key, or v - array of keys: without those fields, or without string elements equal to one.
// Error: 22023 for scalars.
func DeleteKeys(v []byte, keys ...string) ([]byte, error) {
	var b Builder
	switch KindOf(v) {
	case Object:
		b.BeginObject()
		for k, x := range Each(v) {
			if !slices.Contains(keys, string(k)) {
				b.KeyBytes(k)
				b.Value(x)
			}
		}
		b.EndObject()
	case Array:
		b.BeginArray()
		for _, e := range Elements(v) {
			if s, ok := StringValue(e); !ok || !slices.Contains(keys, string(s)) {
				b.Value(e)
			}
		}
		b.EndArray()
	default:
		return nil, errScalar("delete from")
	}
	return b.buf, nil
}

// DeleteIndex is v - i: an array without one element; negative positions count from the end. Error: 22023 for
// anything but arrays.
func DeleteIndex(v []byte, i int) ([]byte, error) {
	switch KindOf(v) {
	case Array:
	case Object:
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "cannot delete from object using integer index")
	default:
		return nil, errScalar("delete from")
	}
	n := Len(v)
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return v, nil
	}
	var b Builder
	b.BeginArray()
	for k, e := range Elements(v) {
		if k != i {
			b.Value(e)
		}
	}
	b.EndArray()
	return b.buf, nil
}

// pathOp says what to do at the end of a path.
type pathOp uint8

const (
	opDelete pathOp = iota
	opReplace
	opCreate // replace or add
	opInsertBefore
	opInsertAfter
)

func (op pathOp) adds() bool { return op >= opCreate }

// DeletePath is v #- path. Errors: 22023 for scalars, 22P02 for a step into an array that is no integer.
func DeletePath(v []byte, path []string) ([]byte, error) {
	return edit(v, path, opDelete, nil, "delete path in")
}

// Set is jsonb_set: with create a missing last step is added. Errors as DeletePath.
func Set(v []byte, path []string, nv []byte, create bool) ([]byte, error) {
	op := opReplace
	if create {
		op = opCreate
	}
	return edit(v, path, op, nv, "set path in")
}

// Insert is jsonb_insert: before or after an array element, or a new field. Errors as DeletePath, and 22023 if
// the field exists.
func Insert(v []byte, path []string, nv []byte, after bool) ([]byte, error) {
	op := opInsertBefore
	if after {
		op = opInsertAfter
	}
	return edit(v, path, op, nv, "set path in")
}

func edit(v []byte, path []string, op pathOp, nv []byte, what string) ([]byte, error) {
	k := KindOf(v)
	if k != Array && k != Object {
		return nil, errScalar(what)
	}
	if len(path) == 0 || Len(v) == 0 && !op.adds() {
		return v, nil
	}
	e := editor{path: path, op: op, nv: nv}
	if err := e.value(v, 0); err != nil {
		return nil, err
	}
	return e.b.buf, nil
}

// editor copies a value and changes it at the end of a path.
type editor struct {
	b    Builder
	path []string
	op   pathOp
	nv   []byte
}

// NullStep stands for NULL in a path, which is an error where it is reached. No text holds it.
const NullStep = "\x00"

func (e *editor) value(v []byte, level int) error {
	if e.path[level] == NullStep && !IsScalar(v) {
		return sqlerr.New(sqlerr.NullValueNotAllowed, "path element at position %d is null", level+1)
	}
	switch KindOf(v) {
	case Object:
		return e.object(v, level)
	case Array:
		return e.array(v, level)
	}
	e.b.Value(v)
	return nil
}

func (e *editor) object(v []byte, level int) error {
	e.b.BeginObject()
	last, found := level == len(e.path)-1, false
	for k, x := range Each(v) {
		if string(k) != e.path[level] {
			e.b.KeyBytes(k)
			e.b.Value(x)
			continue
		}
		found = true
		if !last {
			e.b.KeyBytes(k)
			if err := e.value(x, level+1); err != nil {
				return err
			}
			continue
		}
		switch e.op {
		case opInsertBefore, opInsertAfter:
			return sqlerr.New(sqlerr.InvalidParameterValue, "cannot replace existing key").
				WithHint("Try using the function jsonb_set to replace key value.")
		case opReplace, opCreate:
			e.b.KeyBytes(k)
			e.b.Value(e.nv)
		}
	}
	if !found && last && e.op.adds() {
		e.b.Key(e.path[level])
		e.b.Value(e.nv)
	}
	e.b.EndObject()
	return nil
}

func (e *editor) array(v []byte, level int) error {
	at, ok := atoi(e.path[level])
	if !ok {
		return sqlerr.New(sqlerr.InvalidTextRepresentation, "path element at position %d is not an integer: \"%s\"",
			level+1, e.path[level])
	}
	n, last := Len(v), level == len(e.path)-1
	if at < 0 {
		at += n
	}
	e.b.BeginArray()
	if at < 0 && last && e.op.adds() {
		e.b.Value(e.nv)
	}
	for i, x := range Elements(v) {
		switch {
		case i != at:
			e.b.Value(x)
		case !last:
			if err := e.value(x, level+1); err != nil {
				return err
			}
		default:
			e.element(x)
		}
	}
	if at >= n && last && e.op.adds() {
		e.b.Value(e.nv)
	}
	e.b.EndArray()
	return nil
}

// element does the work at the element that the path ends at.
func (e *editor) element(x []byte) {
	switch e.op {
	case opReplace, opCreate:
		e.b.Value(e.nv)
	case opInsertBefore:
		e.b.Value(e.nv)
		e.b.Value(x)
	case opInsertAfter:
		e.b.Value(x)
		e.b.Value(e.nv)
	}
}

// StripNulls drops the fields whose value is null, at any depth; null elements of arrays stay.
func StripNulls(v []byte) []byte {
	var b Builder
	b.stripped(v)
	return b.buf
}

func (b *Builder) stripped(v []byte) {
	switch KindOf(v) {
	case Object:
		b.BeginObject()
		for k, x := range Each(v) {
			if KindOf(x) != Null {
				b.KeyBytes(k)
				b.stripped(x)
			}
		}
		b.EndObject()
	case Array:
		b.BeginArray()
		for _, x := range Elements(v) {
			b.stripped(x)
		}
		b.EndArray()
	default:
		b.Value(v)
	}
}
