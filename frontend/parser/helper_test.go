package parser

import (
	"errors"
	"reflect"

	"github.com/millrace/millrace/internal/sqlerr"
)

// message returns what a client would be told.
func message(err error) string {
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// position returns the byte offset of an error, counted from 1; 0 if it has none.
func position(err error) int {
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return e.Offset
	}
	return 0
}

// strip zeroes all offsets and source texts in a tree, so that trees of different texts compare equal.
func strip(x any) any {
	stripValue(reflect.ValueOf(x))
	return x
}

var (
	locType    = reflect.TypeFor[Loc]()
	sourceType = reflect.TypeFor[Source]()
)

func stripValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			stripValue(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			stripValue(v.Index(i))
		}
	case reflect.Struct:
		if (v.Type() == locType || v.Type() == sourceType) && v.CanSet() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			stripValue(v.Field(i))
		}
	}
}
