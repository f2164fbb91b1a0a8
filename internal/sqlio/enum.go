package sqlio

import (
	"strconv"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// appendEnum appends the label. A place without one cannot be: labels are never taken away.
func appendEnum(dst []byte, t sqltypes.Type, place int64) []byte {
	if l, ok := t.LabelAt(place); ok {
		return append(dst, l.Name...)
	}
	return strconv.AppendInt(dst, place, 10)
}

func parseEnum(t sqltypes.Type, text string) (int64, error) {
	l, ok := t.LabelNamed(text)
	if !ok {
		return 0, sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input value for enum %s: \"%s\"", t, text)
	}
	return l.Place, nil
}
